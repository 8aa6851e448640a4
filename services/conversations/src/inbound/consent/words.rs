//! The words, by language: in lower case, without marks around them. `docs/contacts.md` shows them.
//!
//! Left out on purpose: words that people send for other reasons (cancel, end, quit, no).

/// Whoever sends one wants no more campaigns.
pub(super) const STOP: &[(&str, &[&str])] = &[
    (
        "English",
        &[
            "stop",
            "stop all",
            "stopall",
            "unsubscribe",
            "opt out",
            "opt-out",
            "optout",
            "stop promotions",
        ],
    ),
    ("Arabic", &["توقف", "إيقاف", "إلغاء الاشتراك", "الغاء الاشتراك"]),
    ("Chinese", &["退订", "退訂", "停止接收"]),
    ("Dutch", &["stoppen", "afmelden", "uitschrijven"]),
    ("French", &["arrêt", "arret", "arrêter", "se désabonner", "me désabonner", "désabonner"]),
    ("German", &["stopp", "abmelden", "abbestellen", "austragen"]),
    ("Hebrew", &["הסר", "הסירו אותי"]),
    ("Hindi", &["रोकें", "बंद करें"]),
    ("Indonesian", &["berhenti", "berhenti langganan"]),
    ("Italian", &["disiscrivimi", "cancellami", "annulla iscrizione"]),
    ("Japanese", &["停止", "配信停止"]),
    ("Korean", &["수신거부", "중지"]),
    ("Polish", &["wypisz", "wypisz mnie"]),
    ("Portuguese", &["parar", "pare", "sair", "descadastrar", "cancelar inscrição"]),
    ("Russian", &["стоп", "отписаться"]),
    ("Spanish", &["baja", "darme de baja", "darse de baja", "dar de baja", "cancelar suscripción"]),
    ("Turkish", &["ret", "abonelikten çık"]),
    ("Ukrainian", &["відписатися"]),
    ("Vietnamese", &["dừng", "hủy đăng ký", "huỷ đăng ký"]),
];

/// Whoever sends one after that wants them again.
pub(super) const START: &[(&str, &[&str])] = &[
    ("English", &["start", "unstop", "subscribe", "resubscribe", "opt in", "opt-in", "optin"]),
    ("Arabic", &["ابدأ", "اشتراك"]),
    ("Chinese", &["订阅", "訂閱"]),
    ("Dutch", &["aanmelden", "inschrijven"]),
    ("French", &["reprendre", "s'abonner", "m'abonner"]),
    ("German", &["abonnieren", "anmelden"]),
    ("Indonesian", &["mulai", "langganan"]),
    ("Italian", &["iscrivimi"]),
    ("Polish", &["zapisz", "zapisz mnie"]),
    ("Portuguese", &["voltar a receber", "inscrever"]),
    ("Russian", &["старт", "подписаться"]),
    ("Spanish", &["alta", "suscribirme", "darme de alta"]),
    ("Turkish", &["abone ol"]),
    ("Ukrainian", &["підписатися"]),
];
