//! The command line: what may be typed, and which command it starts.

pub(crate) mod campaign;
mod ops;
pub(crate) mod template;
pub(crate) mod transfer;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use service::Role;
use tokio::runtime::Runtime;
use url::Url;

pub(crate) use self::ops::{Acting, Limits, Locks, SetLimit, TakeLock};

use crate::command::{
    campaign as campaigns, config, demo, doctor, keys, limits, locks, migrate, run, simulator,
    template as templates, transfer as transfers,
};
use crate::exit::{Exit, Failure};
use crate::screen::Screen;

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 unhealthy, 4 not there,
5 somebody else is at it, 6 too slow or over a limit, 7 not allowed, 8 partly done,
130 interrupted.
Settings: defaults, then /etc/switchyard/config.toml (or SWITCHYARD_CONFIG), then variables
SWITCHYARD__SECTION__KEY; secrets also as …_FILE.";

/// WhatsApp Business messaging: no duplicate, no loss.
#[derive(Debug, Parser)]
#[command(name = "switchyard", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Global {
    /// Print JSON: one document, or one on each line of a list
    #[arg(long, global = true)]
    json: bool,
    /// No colours
    #[arg(long, global = true, env = "NO_COLOR", hide_env_values = true,
          value_parser = FalseyValueParser::new())]
    no_color: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more; twice, everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run services until a signal comes
    Run {
        /// Which
        #[arg(value_enum)]
        which: Which,
    },
    /// Bring the database's schema up to date, or say where it stands
    Migrate {
        /// What to do
        #[arg(value_enum)]
        action: Migrate,
    },
    /// API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Check everything the services need
    Doctor,
    /// Locks: what there is, who holds what, and taking one away
    #[command(subcommand)]
    Locks(Locks),
    /// Rate limits: what there is, who is near one, and changing one while everything runs
    #[command(subcommand)]
    Limits(Limits),
    /// Campaigns: how they go, and starting, stopping and following them
    Campaign(campaign::Campaign),
    /// Templates: what Meta has, and fetching them
    Template(template::Template),
    /// Bring contacts in from a CSV, XLSX or NDJSON file, and follow it to its end
    Import(transfer::Import),
    /// Write contacts into a file, and fetch it
    Export(transfer::Export),
    /// The settings in force
    #[command(subcommand)]
    Config(Config),
    /// See it work against a simulated Meta; nothing leaves this machine
    Demo(Demo),
    /// Run a fake Meta that goes wrong on demand
    Simulator {
        /// Where the Graph API and the control API are served
        #[arg(long, default_value = "127.0.0.1:9090")]
        listen: SocketAddr,
        /// Where webhooks go; may be repeated
        #[arg(long, required = true)]
        webhook_url: Vec<Url>,
        /// Decides every fault; without it, one is drawn
        #[arg(long)]
        seed: Option<u64>,
    },
}

/// What `run` starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Every service in one process
    All,
    /// Takes webhooks from Meta
    WebhookIngest,
    /// Works webhooks off; serves connections, conversations, messages and events
    Conversations,
    /// Serves contacts
    Contacts,
    /// Answers by rules, and hands messages to Meta
    Chatbot,
    /// Works campaigns off, and hands their messages to Meta; serves campaigns
    CampaignSender,
    /// Fetches templates from Meta, and acts upon what it tells of them; serves templates
    TemplateSync,
    /// Serves what operators see and do: `/v1/ops`
    Console,
}

impl Which {
    /// The name in logs, traces and metrics.
    pub(crate) const fn service(self) -> &'static str {
        match self {
            Self::All => "switchyard",
            Self::WebhookIngest => "webhook-ingest",
            Self::Conversations => "conversations",
            Self::Contacts => "contacts",
            Self::Chatbot => "chatbot",
            Self::CampaignSender => "campaign-sender",
            Self::TemplateSync => "template-sync",
            Self::Console => "console",
        }
    }
}

/// What `migrate` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Migrate {
    /// Apply what is missing
    Up,
    /// List every migration; exit code 3 when one is missing
    Status,
}

#[derive(Debug, Subcommand)]
enum Keys {
    /// Make a key and print it, once; the workspace is made when it is missing
    Create {
        /// Name of the workspace
        #[arg(long)]
        workspace: String,
        /// What the key may do: viewer, agent, marketer, operator or admin
        #[arg(long)]
        role: Role,
    },
}

#[derive(Debug, Subcommand)]
enum Config {
    /// Every key and its value, secrets masked
    Show {
        /// Also say where each value comes from
        #[arg(long)]
        sources: bool,
    },
}

/// How the demo runs.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Demo {
    /// End after the story instead of waiting for Ctrl-C
    #[arg(long, env = "DEMO_EXIT", hide_env_values = true, value_parser = FalseyValueParser::new())]
    pub(crate) exit: bool,
    /// Where the API is served on loopback; without it, a free port
    #[arg(long)]
    pub(crate) port: Option<u16>,
}

/// How much is logged, when the command line says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// `-q`.
    Quiet,
    /// Nothing was said.
    Unsaid,
    /// `-v`.
    Verbose,
    /// `-vv`.
    Everything,
}

impl Talk {
    /// The log filter, unless the settings decide.
    pub(crate) const fn filter(self) -> Option<&'static str> {
        match self {
            Self::Quiet => Some("warn"),
            Self::Unsaid => None,
            Self::Verbose => Some("info"),
            Self::Everything => Some("debug"),
        }
    }
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    let screen = Screen::new(global.json, global.quiet, global.no_color);
    let talk = match (global.quiet, global.verbose) {
        (true, _) => Talk::Quiet,
        (false, 0) => Talk::Unsaid,
        (false, 1) => Talk::Verbose,
        (false, _) => Talk::Everything,
    };
    match execute(command, screen, talk) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            screen.failure(&failure);
            failure.exit.into()
        }
    }
}

fn execute(command: Command, screen: Screen, talk: Talk) -> Result<Exit, Failure> {
    match command {
        Command::Run { which } => run::run(which, talk),
        Command::Migrate { action } => once(talk, migrate::migrate(screen, action)),
        Command::Keys(Keys::Create { workspace, role }) => {
            once(talk, keys::create(screen, &workspace, role))
        }
        Command::Doctor => once(talk, doctor::doctor(screen)),
        Command::Locks(locks) => once(talk, locks::locks(screen, locks)),
        Command::Limits(limits) => once(talk, limits::limits(screen, limits)),
        Command::Campaign(asked) => once(talk, campaigns::campaign(screen, asked)),
        Command::Template(asked) => once(talk, templates::template(screen, asked)),
        Command::Import(asked) => once(talk, transfers::import(screen, asked)),
        Command::Export(asked) => once(talk, transfers::export(screen, asked)),
        Command::Config(Config::Show { sources }) => config::show(screen, sources),
        Command::Demo(options) => demo::demo(screen, talk, options),
        Command::Simulator { listen, webhook_url, seed } => {
            once(talk, simulator::simulator(screen, listen, webhook_url, seed))
        }
    }
}

/// Runs a command that ends by itself. It logs only when asked to.
fn once(talk: Talk, work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let fix = "try again; if it stays, report it";
    let telemetry = settings::Telemetry {
        log_format: settings::LogFormat::Pretty,
        log: talk.filter().unwrap_or("error").to_owned(),
        otlp_endpoint: None,
    };
    let _telemetry =
        service::observe("switchyard", &telemetry).map_err(|error| Failure::new(error, fix))?;
    let runtime = Runtime::new().map_err(|error| Failure::new(error, fix))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_other_tools_rely_on_is_understood() {
        for line in [
            "switchyard run all",
            "switchyard run webhook-ingest --json",
            "switchyard migrate up",
            "switchyard -v migrate status",
            "switchyard keys create --workspace acme --role admin",
            "switchyard doctor --json",
            "switchyard config show --sources",
            "switchyard run console",
            "switchyard run template-sync",
            "switchyard template ls --connection cnx_1 --status APPROVED --json",
            "switchyard template show tpl_1",
            "switchyard template sync cnx_1 --watch",
            "switchyard locks ls --held --class campaign_send --json",
            "switchyard locks show campaign_send:cmp_1",
            "switchyard locks release campaign_send:cmp_1 --owner 0123456789abcdef --reason stuck --confirm campaign_send:cmp_1",
            "switchyard limits ls --hot",
            "switchyard limits show whatsapp_api cnx_1",
            "switchyard limits set whatsapp_api 2000/min --connection cnx_1 --for 2h --reason launch",
            "switchyard limits set bot default --reason over -n",
            "switchyard campaign ls --status running --json",
            "switchyard campaign watch Sale --progress plain --every 5s --url http://h:1",
            "switchyard campaign --api-key-file k pause cmp_1",
            "switchyard campaign cancel cmp_1 --confirm Sale",
            "switchyard campaign retry-failed cmp_1 -n",
            "switchyard campaign recipients cmp_1 --status failed --error-code 131026 --csv",
            "switchyard import people.csv --map phone=Mobile --on-conflict fill-empty --tag vip -n",
            "switchyard export --tag vip --format xlsx --out people.xlsx --url http://h:1",
            "switchyard demo --exit --port 8080",
            "switchyard simulator --listen 127.0.0.1:0 --webhook-url http://127.0.0.1:8080/w",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "switchyard",
            "switchyard run everything",
            "switchyard keys create --workspace acme --role king",
            "switchyard keys create --role admin",
            "switchyard -q -v doctor",
            "switchyard locks release campaign_send:cmp_1",
            "switchyard limits set bot 10/min",
            "switchyard import people.csv --map mobile=Mobile",
            "switchyard import",
            "switchyard campaign ls --api-key swk_live_1",
            "switchyard campaign recipients cmp_1 --csv --limit 5",
            "switchyard limits set whatsapp_api 10/min --connection cnx_1 --key cnx_1 --reason both",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
