//! Starts the services that were asked for and serves all their routes on one listener.

use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use campaign_sender::CampaignSender;
use chatbot::Chatbot;
use contacts::Contacts;
use coordination::Coordination;
use relay::Relay;
use sending::Sender;
use service::{Auth, Health, Life, Listener, Need, serve};
use storage::send_ledger::Source;
use template_sync::TemplateSync;
use webhook_ingest::Ingest;

use crate::cli::Which;
use crate::exit::{Failure, OrFix, REDIS_AWAY};
use crate::parts::{self, Parts};

/// The services of this process, as far as HTTP is concerned.
#[derive(Clone)]
struct Routes {
    auth: Arc<Auth>,
    ingest: Option<Ingest>,
    conversations: Option<conversations::State>,
    contacts: Option<Contacts>,
    chatbot: Option<Chatbot>,
    campaigns: Option<CampaignSender>,
    templates: Option<TemplateSync>,
    console: Option<console::Desk>,
}

/// Starts `which` services; answers with the address of their routes.
pub(crate) async fn start(life: &Life, parts: Parts, which: Which) -> Result<SocketAddr, Failure> {
    // The door for webhooks works from memory while PostgreSQL is away; nobody else can.
    let database = if which == Which::WebhookIngest { Need::Optional } else { Need::Required };
    if database == Need::Required {
        parts::await_schema(&parts.db).await?;
    }
    let routes = routes(life, &parts, which).await?;
    let health = parts.health(life, database);
    let health = match &routes.ingest {
        Some(ingest) => ingest.checked_by(health),
        None => health,
    };
    let ingest = routes.ingest.clone();
    let address = listen(life, &parts, routes, health)?;
    let (stopping, stop_broker) = (life.stopping(), parts.stop_broker);
    life.tasks().spawn(async move {
        stopping.cancelled().await;
        // The last webhooks are published before the broker leaves.
        if let Some(ingest) = ingest {
            ingest.drained().await;
        }
        stop_broker.cancel();
    });
    Ok(address)
}

async fn routes(life: &Life, parts: &Parts, which: Which) -> Result<Routes, Failure> {
    let is_chosen = |service| which == Which::All || which == service;
    let auth = Arc::clone(&parts.auth);
    let mut routes = Routes {
        auth,
        ingest: None,
        conversations: None,
        contacts: None,
        chatbot: None,
        campaigns: None,
        templates: None,
        console: None,
    };
    if is_chosen(Which::WebhookIngest) {
        let started = webhook_ingest::start(life, of_ingest(parts));
        routes.ingest = Some(started.or_fix("correct meta.app_secret and meta.verify_token")?);
    }
    if is_chosen(Which::Console) {
        routes.console = Some(desk(life, parts).await?);
    }
    if matches!(which, Which::WebhookIngest | Which::Console) {
        return Ok(routes);
    }
    let relay = parts.relay(life);
    if is_chosen(Which::Contacts) {
        routes.contacts = Some(contacts::start(life, of_contacts(parts, relay.clone())));
    }
    if is_chosen(Which::TemplateSync) {
        let dependencies = of_templates(parts, relay.clone())?;
        routes.templates = Some(template_sync::start(life, dependencies));
    }
    let sources = match which {
        Which::All => Source::ALL.to_vec(),
        Which::Conversations => vec![Source::Agent, Source::Api],
        Which::Chatbot => vec![Source::Bot],
        Which::CampaignSender => vec![Source::Campaign],
        Which::WebhookIngest | Which::Contacts | Which::TemplateSync | Which::Console => {
            return Ok(routes);
        }
    };
    let sender = parts.sender(life, relay.clone(), sources)?;
    if is_chosen(Which::Conversations) {
        let dependencies = of_conversations(parts, relay.clone(), sender.clone());
        routes.conversations = Some(conversations::start(life, dependencies));
    }
    if is_chosen(Which::Chatbot) {
        let dependencies = of_chatbot(parts, relay.clone(), sender.clone());
        let started = chatbot::start(life.clone(), dependencies).await;
        routes.chatbot = Some(started.or_fix("switchyard doctor")?);
    }
    if is_chosen(Which::CampaignSender) {
        routes.campaigns = Some(campaign_sender::start(life, of_campaigns(parts, relay, sender)));
    }
    Ok(routes)
}

async fn desk(life: &Life, parts: &Parts) -> Result<console::Desk, Failure> {
    let options = parts::coordination(&parts.settings)?;
    let coordination = Coordination::start(options, life.tasks().clone());
    Ok(console::start(console::Dependencies {
        db: parts.db.clone(),
        coordination: coordination.await.or_fix(REDIS_AWAY)?,
        limits: parts.settings.limits.clone(),
        clock: Arc::clone(&parts.clock),
    }))
}

fn of_conversations(parts: &Parts, relay: Relay, sender: Sender) -> conversations::Dependencies {
    conversations::Dependencies {
        db: parts.db.clone(),
        broker: parts.broker.clone(),
        locks: parts.coordination.locks().clone(),
        limiter: parts.coordination.limiter().clone(),
        sender,
        relay,
        sealer: parts.sealer.clone(),
        clock: Arc::clone(&parts.clock),
        settings: parts.settings.conversations.clone(),
        limits: parts.settings.limits.clone(),
    }
}

fn of_contacts(parts: &Parts, relay: Relay) -> contacts::Dependencies {
    contacts::Dependencies {
        db: parts.db.clone(),
        broker: parts.broker.clone(),
        locks: parts.coordination.locks().clone(),
        relay,
        clock: Arc::clone(&parts.clock),
        files: parts.settings.files.clone(),
    }
}

fn of_chatbot(parts: &Parts, relay: Relay, sender: Sender) -> chatbot::Dependencies {
    chatbot::Dependencies {
        db: parts.db.clone(),
        broker: parts.broker.clone(),
        limiter: parts.coordination.limiter().clone(),
        sender,
        relay,
        clock: Arc::clone(&parts.clock),
        options: chatbot::Options::from(parts.settings.as_ref()),
    }
}

fn of_campaigns(parts: &Parts, relay: Relay, sender: Sender) -> campaign_sender::Dependencies {
    campaign_sender::Dependencies {
        db: parts.db.clone(),
        broker: parts.broker.clone(),
        locks: parts.coordination.locks().clone(),
        limiter: parts.coordination.limiter().clone(),
        sender,
        relay,
        clock: Arc::clone(&parts.clock),
        options: campaign_sender::Options::from(parts.settings.as_ref()),
    }
}

fn of_templates(parts: &Parts, relay: Relay) -> Result<template_sync::Dependencies, Failure> {
    Ok(template_sync::Dependencies {
        db: parts.db.clone(),
        broker: parts.broker.clone(),
        locks: parts.coordination.locks().clone(),
        limiter: parts.coordination.limiter().clone(),
        graph: parts.graph()?,
        sealer: parts.sealer.clone(),
        relay,
        clock: Arc::clone(&parts.clock),
        options: template_sync::Options::from(parts.settings.as_ref()),
    })
}

fn of_ingest(parts: &Parts) -> webhook_ingest::Dependencies {
    webhook_ingest::Dependencies {
        broker: parts.broker.clone(),
        database: parts.db.clone(),
        sealer: parts.sealer.clone(),
        limiter: parts.coordination.limiter().clone(),
        clock: Arc::clone(&parts.clock),
        settings: parts.settings.as_ref().clone(),
    }
}

fn listen(
    life: &Life,
    parts: &Parts,
    routes: Routes,
    health: Health,
) -> Result<SocketAddr, Failure> {
    const FIX: &str = "free the address, or set another: SWITCHYARD__HTTP__LISTEN";
    let http = &parts.settings.http;
    let admin = Listener::admin(http);
    if let Some(admin) = admin {
        let health = health.clone();
        serve(life, admin, move |config: &mut ServiceConfig| health.routes(config)).or_fix(FIX)?;
    }
    let public_health = admin.is_none().then_some(health);
    let everything = move |config: &mut ServiceConfig| {
        if let Some(health) = &public_health {
            health.routes(config);
        }
        routes.mount(config);
    };
    serve(life, Listener::public(http), everything).or_fix(FIX)
}

impl Routes {
    fn mount(&self, config: &mut ServiceConfig) {
        config.app_data(Data::from(Arc::clone(&self.auth)));
        if let Some(ingest) = &self.ingest {
            ingest.routes(config);
        }
        if let Some(state) = &self.conversations {
            config.app_data(Data::new(state.clone()));
            conversations::routes(config);
        }
        if let Some(contacts) = &self.contacts {
            contacts.routes(config);
        }
        if let Some(chatbot) = &self.chatbot {
            chatbot.routes(config);
        }
        if let Some(campaigns) = &self.campaigns {
            campaigns.routes(config);
        }
        if let Some(templates) = &self.templates {
            templates.routes(config);
        }
        if let Some(desk) = &self.console {
            config.app_data(Data::new(desk.clone()));
            console::routes(config);
        }
    }
}
