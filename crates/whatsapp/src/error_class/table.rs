//! Every documented error code of the Cloud API (Meta's error-code page of 15 May 2026, with what its
//! changelog and its `OpenAPI` samples add), in the order of that page.

use super::ErrorClass::{
    self, Ambiguous, Auth, PauseConnection, Recipient, Request, Retry, SlowConnection, SlowPair,
    Template,
};

/// What one code, or one range of codes, means.
pub(super) struct Row {
    pub(super) first: i32,
    pub(super) last: i32,
    /// The row is only about this subcode.
    pub(super) subcode: Option<i32>,
    pub(super) class: ErrorClass,
    pub(super) meaning: &'static str,
    pub(super) advice: &'static str,
}

const fn one(code: i32, class: ErrorClass, meaning: &'static str, advice: &'static str) -> Row {
    range(code, code, class, meaning, advice)
}

const fn range(
    first: i32,
    last: i32,
    class: ErrorClass,
    meaning: &'static str,
    advice: &'static str,
) -> Row {
    Row { first, last, subcode: None, class, meaning, advice }
}

const fn with_subcode(
    code: i32,
    subcode: i32,
    class: ErrorClass,
    meaning: &'static str,
    advice: &'static str,
) -> Row {
    Row { first: code, last: code, subcode: Some(subcode), class, meaning, advice }
}

const RENEW: &str = "renew the access token or its permissions";
const SLOWER: &str = "slows down by itself";
const OPERATOR: &str = "see WhatsApp Manager";
const FIX: &str = "correct the request";
const WAIT_FOR_STATUS: &str = "wait for the status webhook";
const NOBODY: &str = "nothing to do";
const SET_UP: &str = "set-up only, never about sending";

/// All rows. Where the document names two classes, the first one counts, and the advice has the other.
pub(super) const TABLE: &[Row] = &[
    // Authorisation
    one(0, Auth, "token expired or invalid", RENEW),
    one(3, Auth, "capability or permission missing", RENEW),
    one(10, Auth, "permission not granted or removed", RENEW),
    one(190, Auth, "token expired or invalid", RENEW),
    range(200, 299, Auth, "permission missing", RENEW),
    one(131_005, Auth, "access denied", RENEW),
    with_subcode(
        100,
        33,
        Auth,
        "no such object, or no permission for it",
        "check the phone number id and the permissions",
    ),
    one(33, Auth, "business phone number deleted", "remove the connection"),
    one(102, Auth, "session invalid", RENEW),
    one(104, Auth, "app secret proof invalid", "check the app secret"),
    one(803, Auth, "object gone", "check the phone number id"),
    // Throttling
    one(
        4,
        SlowConnection,
        "app request limit",
        "slows down by itself; all connections of the app share the limit",
    ),
    one(17, SlowConnection, "user request limit", SLOWER),
    one(32, SlowConnection, "page request limit", SLOWER),
    one(341, SlowConnection, "application limit reached", SLOWER),
    one(613, SlowConnection, "custom rate limit", SLOWER),
    one(
        80_007,
        SlowConnection,
        "account request limit",
        "slows down by itself; all numbers of the account share the limit",
    ),
    one(80_008, SlowConnection, "account management limit", "template sync slows down by itself"),
    one(130_429, SlowConnection, "throughput of the number", SLOWER),
    one(
        131_048,
        PauseConnection,
        "too many people blocked or reported the number",
        "stop campaigns and improve them",
    ),
    one(
        131_056,
        SlowPair,
        "too many messages to this person",
        "slows down by itself for this person",
    ),
    one(
        131_064,
        PauseConnection,
        "limit lowered because of template classification",
        "lifted by Meta",
    ),
    one(133_016, PauseConnection, "too many registration tries", "wait 72 hours"),
    one(131_208, SlowPair, "too many group operations", SLOWER),
    one(138_005, SlowPair, "call limit", SLOWER),
    one(138_009, SlowPair, "call limit", SLOWER),
    one(138_012, SlowPair, "call limit", SLOWER),
    // Integrity and account state
    one(368, PauseConnection, "blocked for policy violations", OPERATOR),
    one(131_031, PauseConnection, "account locked", OPERATOR),
    one(
        130_497,
        Recipient,
        "messages to this country not allowed",
        "stop a campaign that only has such people",
    ),
    one(131_042, PauseConnection, "payment problem", "mend the payment method"),
    one(131_037, PauseConnection, "display name not approved", OPERATOR),
    one(
        131_045,
        PauseConnection,
        "number's certificate or registration broken",
        "register the number again",
    ),
    one(131_057, Retry, "maintenance mode during a throughput upgrade", "over in a minute"),
    one(133_000, PauseConnection, "deregistration incomplete", "register the number again"),
    one(133_004, Ambiguous, "server temporarily unavailable", WAIT_FOR_STATUS),
    one(133_006, PauseConnection, "number not verified", "verify the number"),
    one(133_010, PauseConnection, "number not registered", "register the number"),
    one(134_011, PauseConnection, "payment terms not accepted", OPERATOR),
    one(
        131_063,
        PauseConnection,
        "marketing switched off on this API for the account",
        "use the marketing messages API",
    ),
    one(139_200, PauseConnection, "direct send blocked", OPERATOR),
    one(141_010, PauseConnection, "business not verified", OPERATOR),
    one(2_494_100, Retry, "number in maintenance mode", "over in minutes"),
    // Recipient
    one(131_021, Recipient, "sender is recipient", NOBODY),
    one(
        131_026,
        Recipient,
        "undeliverable: no WhatsApp, old version, or blocked",
        "many of them: clean the list",
    ),
    one(131_030, Recipient, "not on the test number's list", "add the number to the list"),
    one(131_047, Recipient, "more than 24 hours since the person wrote", "use a template"),
    one(
        131_049,
        Recipient,
        "Meta chose not to deliver marketing to this person",
        "not again in this campaign, at the earliest after 24 hours",
    ),
    one(131_050, Recipient, "person stopped marketing", "opt the person out"),
    one(130_403, Recipient, "one has blocked the other", NOBODY),
    one(130_472, Recipient, "person is in an experiment", "do not repeat"),
    one(131_062, Recipient, "needs a phone number, not a user id", "ask for the number"),
    one(137_000, Recipient, "identity of the person changed", "check the person's identity"),
    one(131_020, Recipient, "group invalid", NOBODY),
    one(131_041, Recipient, "group unknown", NOBODY),
    one(
        131_060,
        Request,
        "message can not be shown (incoming)",
        "look in the WhatsApp Business app",
    ),
    one(131_036, Ambiguous, "failed on one device, perhaps delivered on another", "never repeat"),
    one(131_035, PauseConnection, "a webhook was lost for good", "look for the gap"),
    one(131_202, Request, "group participant", FIX),
    one(131_204, Request, "group participant", FIX),
    one(131_212, Request, "group participant", FIX),
    one(131_213, Request, "group participant", FIX),
    one(131_201, Request, "group request partly done", FIX),
    one(131_207, PauseConnection, "group suspended", OPERATOR),
    one(131_214, PauseConnection, "creation of groups switched off", OPERATOR),
    one(131_215, PauseConnection, "not eligible for groups", OPERATOR),
    one(131_211, PauseConnection, "limit of groups reached", OPERATOR),
    range(138_000, 138_025, Recipient, "call not possible", NOBODY),
    one(131_044, PauseConnection, "no payment method for calls", "add a payment method"),
    // Request and media
    one(100, Request, "invalid parameter", FIX),
    one(131_008, Request, "parameter missing", FIX),
    one(
        131_009,
        Request,
        "parameter value invalid",
        "correct the request; perhaps the number is no number",
    ),
    one(131_051, Request, "message type not supported", FIX),
    one(131_052, Request, "incoming media could not be fetched", "ask the person to send it again"),
    one(
        131_053,
        Template,
        "outgoing media refused",
        "correct the media; when it is the same for all, nobody gets it",
    ),
    one(131_055, Request, "method not allowed", FIX),
    one(131_059, Request, "paging cursor expired", "the listing starts over"),
    one(131_209, Request, "group picture", FIX),
    one(131_210, Request, "group picture", FIX),
    one(135_000, Request, "generic error with the parameters", FIX),
    range(139_000, 139_006, Request, "flow can not be changed", FIX),
    one(139_100, Request, "block list partly changed", FIX),
    one(139_101, Request, "block list full", FIX),
    one(139_102, Retry, "block list changed at the same time", "repeats by itself"),
    one(139_103, Retry, "block list internal error", "repeats by itself"),
    range(147_001, 147_005, Request, "user name", FIX),
    one(1_752_041, Request, "asked for twice", NOBODY),
    // Server
    one(1, Ambiguous, "unknown error", WAIT_FOR_STATUS),
    one(2, Ambiguous, "temporarily unavailable or overloaded", WAIT_FOR_STATUS),
    one(
        131_000,
        Ambiguous,
        "something went wrong",
        "wait for the status webhook; as a failed status it was not delivered",
    ),
    one(131_016, Ambiguous, "service unavailable", WAIT_FOR_STATUS),
    range(-2, -1, Ambiguous, "unknown error or time-out", WAIT_FOR_STATUS),
    // Template
    one(132_000, Template, "number of parameters differs", "correct the template's variables"),
    one(132_001, Template, "no such approved template in this language", "sync the templates"),
    one(
        132_005,
        Recipient,
        "text too long with this person's values",
        "shorten the person's values",
    ),
    one(132_007, Template, "content against policy", "change the template"),
    one(132_008, Recipient, "parameter value invalid", "correct the person's values"),
    one(
        132_012,
        Recipient,
        "parameter format differs",
        "correct the person's values, or the variables' format",
    ),
    one(132_015, Template, "template paused", "wait until it is approved again"),
    one(132_016, Template, "template disabled for good", "use another template"),
    one(132_018, Request, "template or button parameter", FIX),
    one(132_068, Template, "flow blocked", "change the flow"),
    one(132_069, SlowConnection, "flow throttled to 10 messages an hour", "change the flow"),
    one(134_100, Request, "only marketing on this API", FIX),
    one(134_101, Retry, "template not ready yet", "ready in 10 minutes"),
    one(134_102, PauseConnection, "template unavailable or account not on-boarded", OPERATOR),
    one(2_388_019, Request, "limit of templates reached", "delete unused templates"),
    one(
        2_388_023,
        Request,
        "this template is being deleted",
        "choose another name, or wait 30 days",
    ),
    one(2_388_024, Request, "this template exists", FIX),
    one(2_388_039, Request, "template form", FIX),
    one(2_388_040, Request, "template form", FIX),
    one(2_388_047, Request, "template form", FIX),
    one(2_388_072, Request, "template form", FIX),
    one(2_388_073, Request, "template form", FIX),
    one(2_388_293, Request, "template form", FIX),
    one(2_388_299, Request, "template form", FIX),
    one(2_388_330, Request, "direct send content refused", FIX),
    one(2_388_318, Request, "direct send content refused", FIX),
    range(200_005, 200_007, Request, "template insights", NOBODY),
    // Set-up
    one(2_388_001, Request, "migration", SET_UP),
    one(2_388_012, Request, "migration", SET_UP),
    one(2_388_091, Request, "migration", SET_UP),
    one(2_388_093, Request, "migration", SET_UP),
    one(2_388_103, Request, "migration", SET_UP),
    range(2_494_164, 2_494_179, Request, "sign-up", SET_UP),
    one(133_005, Request, "PIN wrong", SET_UP),
    one(133_008, Request, "too many PIN tries", SET_UP),
    one(133_009, Request, "PIN tried too fast", SET_UP),
    one(133_015, Request, "number was deleted just now", "wait 5 minutes"),
    one(136_024, Request, "verification code", SET_UP),
    one(136_025, Request, "verification code", SET_UP),
    one(2_593_079, Request, "on behalf of", SET_UP),
    one(2_593_085, Request, "on behalf of", SET_UP),
    range(2_593_107, 2_593_109, Request, "history sync", SET_UP),
];
