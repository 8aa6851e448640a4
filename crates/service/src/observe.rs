//! Starts telemetry the way the settings say.

use settings::LogFormat;
use telemetry::{Options, Telemetry, TelemetryError};

/// Starts logs, traces and metrics of the process `service`; keep the answer until the end.
///
/// # Errors
///
/// When the log filter or the collector's address is unusable, or logging is set up already.
pub fn observe(
    service: &'static str,
    settings: &settings::Telemetry,
) -> Result<Telemetry, TelemetryError> {
    telemetry::init(&Options {
        service,
        version: env!("CARGO_PKG_VERSION"),
        log_format: match settings.log_format {
            LogFormat::Json => telemetry::LogFormat::Json,
            LogFormat::Pretty => telemetry::LogFormat::Pretty,
            LogFormat::Auto => telemetry::LogFormat::Auto,
        },
        log_filter: settings.log.clone(),
        otlp_endpoint: settings.otlp_endpoint.as_ref().map(ToString::to_string),
    })
}
