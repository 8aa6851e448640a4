//! The tables as diesel sees them; a test compares this with the migrated database.

#![expect(missing_docs, reason = "a column is documented where its meaning is: in migrations/")]

diesel::table! {
    /// Tenants.
    workspaces (id) {
        id -> Uuid,
        name -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// Credentials of the HTTP API.
    api_keys (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        role -> Text,
        secret_sha256 -> Bytea,
        last4 -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Meta apps registered by tenants.
    meta_apps (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        slug -> Text,
        verify_token_sealed -> Bytea,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// The secrets of a Meta app: several during rotation.
    meta_app_secrets (id) {
        id -> Uuid,
        app_id -> Uuid,
        secret_sealed -> Bytea,
        created_at -> Timestamptz,
        retires_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Phone-number connections.
    connections (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        name -> Text,
        phone_number_id -> Text,
        waba_id -> Text,
        display_phone_number -> Nullable<Text>,
        access_token_sealed -> Bytea,
        whatsapp_api_per_minute -> Nullable<Integer>,
        webhook_per_minute -> Nullable<Integer>,
        webhook_over_limit -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        archived_at -> Nullable<Timestamptz>,
        heeds_stop_words -> Bool,
    }
}

diesel::table! {
    /// People.
    contacts (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        wa_id -> Nullable<Text>,
        user_id -> Nullable<Text>,
        name -> Nullable<Text>,
        source -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        tags -> Array<Text>,
        attributes -> Jsonb,
        opted_out_at -> Nullable<Timestamptz>,
        consent_said_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Threads between a connection and a contact.
    conversations (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        connection_id -> Uuid,
        contact_id -> Uuid,
        last_sequence -> BigInt,
        bot_sequence -> BigInt,
        customer_wrote_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        assignee -> Nullable<Text>,
        closed_at -> Nullable<Timestamptz>,
        is_bot_on -> Bool,
        read_sequence -> BigInt,
        campaign_message_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    /// What was said.
    messages (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        connection_id -> Uuid,
        conversation_id -> Uuid,
        contact_id -> Uuid,
        sequence -> BigInt,
        direction -> Text,
        kind -> Text,
        wamid -> Nullable<Text>,
        body -> Nullable<Text>,
        raw -> Nullable<Bytea>,
        said_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// What happened.
    events (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        #[sql_name = "type"]
        event_type -> Text,
        conversation_id -> Nullable<Uuid>,
        message_id -> Nullable<Uuid>,
        body -> Bytea,
        traceparent -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    /// The send ledger.
    outbound_messages (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        connection_id -> Uuid,
        conversation_id -> Uuid,
        dedupe_key -> Text,
        recipient_kind -> Text,
        recipient -> Text,
        source -> Text,
        on_doubt -> Text,
        resend_until -> Nullable<Timestamptz>,
        position -> BigInt,
        state -> Text,
        epoch -> Integer,
        not_before -> Nullable<Timestamptz>,
        claimed_at -> Nullable<Timestamptz>,
        content -> Bytea,
        traceparent -> Nullable<Text>,
        wamid -> Nullable<Text>,
        accepted_at -> Nullable<Timestamptz>,
        sent_at -> Nullable<Timestamptz>,
        delivered_at -> Nullable<Timestamptz>,
        read_at -> Nullable<Timestamptz>,
        failed_at -> Nullable<Timestamptz>,
        error_code -> Nullable<Integer>,
        created_at -> Timestamptz,
        campaign_id -> Nullable<Uuid>,
        replied_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Who asked for a message, and with which data of their own.
    message_requests (message_id) {
        message_id -> Uuid,
        workspace_id -> Uuid,
        requested_by -> Uuid,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    /// Bots.
    bots (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        name -> Text,
        is_enabled -> Bool,
        version -> BigInt,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Which bot answers on a connection.
    bot_connections (connection_id) {
        connection_id -> Uuid,
        bot_id -> Uuid,
    }
}

diesel::table! {
    /// Ordered rules of a bot.
    bot_rules (id) {
        id -> Uuid,
        bot_id -> Uuid,
        position -> Integer,
        match_kind -> Text,
        match_value -> Text,
        reply_text -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    /// Campaigns.
    campaigns (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        connection_id -> Uuid,
        name -> Text,
        status -> Text,
        reason_code -> Nullable<Text>,
        reason -> Nullable<Text>,
        template -> Jsonb,
        audience -> Jsonb,
        on_uncertain -> Text,
        cap_messages -> Nullable<Integer>,
        cap_days -> Nullable<Integer>,
        scheduled_for -> Nullable<Timestamp>,
        time_zone -> Text,
        is_local_time -> Bool,
        quiet_from -> Nullable<Time>,
        quiet_to -> Nullable<Time>,
        ends_at -> Nullable<Timestamptz>,
        version -> BigInt,
        prepared_through -> Nullable<Uuid>,
        prepared_at -> Nullable<Timestamptz>,
        total -> BigInt,
        next_look_at -> Nullable<Timestamptz>,
        waits_for -> Nullable<Text>,
        cloned_from -> Nullable<Uuid>,
        created_by -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        expired_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Imports of contacts.
    contact_imports (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        status -> Text,
        file_name -> Text,
        file_bytes -> BigInt,
        options -> Jsonb,
        understood -> Nullable<Jsonb>,
        fence -> BigInt,
        attempts -> Integer,
        read_bytes -> BigInt,
        accepted -> BigInt,
        rejected -> BigInt,
        duplicates -> BigInt,
        created -> BigInt,
        updated -> BigInt,
        unchanged -> BigInt,
        error_code -> Nullable<Text>,
        error -> Nullable<Text>,
        created_by -> Text,
        created_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    /// Records that an import left out.
    contact_import_rejects (import_id, line) {
        import_id -> Uuid,
        line -> BigInt,
        code -> Text,
        detail -> Text,
        record -> Text,
    }
}

diesel::table! {
    /// Exports of contacts.
    contact_exports (id) {
        id -> Uuid,
        workspace_id -> Uuid,
        status -> Text,
        filter -> Jsonb,
        format -> Text,
        has_bom -> Bool,
        attempts -> Integer,
        rows -> BigInt,
        total -> Nullable<BigInt>,
        file_name -> Nullable<Text>,
        file_bytes -> Nullable<BigInt>,
        link_key -> Bytea,
        error_code -> Nullable<Text>,
        error -> Nullable<Text>,
        created_by -> Text,
        created_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
        expires_at -> Nullable<Timestamptz>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    workspaces,
    api_keys,
    meta_apps,
    meta_app_secrets,
    connections,
    contacts,
    conversations,
    messages,
    events,
    outbound_messages,
    message_requests,
    bots,
    bot_connections,
    bot_rules,
    campaigns
);
