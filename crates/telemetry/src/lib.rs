//! Logs, traces and metrics, set up the same way in every process.
//!
//! Logs go to stdout as JSON, or to stderr for people. Traces leave by OTLP only when a collector
//! is configured; a collector that is down costs nothing but its spans. Metrics are kept for
//! whoever asks [`metrics::render`].

mod logs;
pub mod messages;
pub mod metrics;
pub mod trace;

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use thiserror::Error;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt};

use self::logs::{JsonLog, Process};

/// How long leaving waits for a collector to take the last spans.
const FLUSH: Duration = Duration::from_secs(2);

/// What [`init`] is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the service, on every log line and trace.
    pub service: &'static str,
    /// Version of the build.
    pub version: &'static str,
    /// How log lines look.
    pub log_format: LogFormat,
    /// A level or `tracing` directives, e.g. `info,messaging=debug`. It limits traces, too.
    pub log_filter: String,
    /// Root of an OTLP/HTTP collector, e.g. `http://collector:4318`.
    pub otlp_endpoint: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line on stdout.
    Json,
    /// Lines for people on stderr, which leaves stdout to a command's own output.
    Pretty,
    /// `Pretty` when stderr is a terminal, else `Json`.
    Auto,
}

/// Why telemetry could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is not a level nor a list of directives.
    #[error("the log filter cannot be read")]
    Filter(#[from] ParseError),
    /// The endpoint is unusable.
    #[error("traces cannot be exported")]
    Exporter(#[from] ExporterBuildError),
    /// Something else in the process has already taken logging.
    #[error("logging is set up already")]
    Taken(#[from] TryInitError),
}

/// Keeps traces flowing; dropping it flushes what is left.
#[derive(Debug)]
#[must_use = "dropping it ends the export of traces"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

/// Sets up logs, traces and metrics for the whole process; once, before anything else.
///
/// # Errors
///
/// When the filter or the endpoint is unusable, or logging is set up already.
pub fn init(options: &Options) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&options.log_filter)?;
    let process = Process::this(options.service, options.version);
    let traces = options
        .otlp_endpoint
        .as_deref()
        .map(|endpoint| trace::provider(endpoint, &process))
        .transpose()?;

    let log: Box<dyn Layer<_> + Send + Sync> = if options.log_format.is_pretty() {
        let colours = std::io::stderr().is_terminal();
        fmt::layer().with_target(false).with_ansi(colours).with_writer(std::io::stderr).boxed()
    } else {
        JsonLog::new(process, std::io::stdout).boxed()
    };
    let export = traces.as_ref().map(trace::layer::<Registry>);
    tracing_subscriber::registry().with(export).with(log).with(filter).try_init()?;

    log_panics();
    metrics::install();
    metrics::build_info(options.service, options.version);
    Ok(Telemetry { traces })
}

impl Telemetry {
    /// Hands the last spans to the collector, waiting at most two seconds; later calls do nothing.
    pub fn shutdown(&mut self) {
        let Some(traces) = self.traces.take() else { return };
        if let Err(error) = traces.shutdown_with_timeout(FLUSH) {
            tracing::debug!(error = %error, "the last spans were not taken");
        }
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl LogFormat {
    fn is_pretty(self) -> bool {
        match self {
            Self::Json => false,
            Self::Pretty => true,
            Self::Auto => std::io::stderr().is_terminal(),
        }
    }
}

/// Makes a panic a log line like any other. Its message is left out: the standard library puts the
/// text that was sliced or unwrapped into it, which may be a customer's.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic.location = place, "a thread panicked");
    }));
}
