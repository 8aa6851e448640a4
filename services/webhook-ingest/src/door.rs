//! Takes POSTs: head, body, signature, events, lanes, broker, and then the answer.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use kernel::{Clock, chain};
use messaging::Publisher;
use storage::status_pipeline::Pulse;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info_span};
use whatsapp::webhook::EventKind;

use crate::admission::Admission;
use crate::answer;
use crate::app::App;
use crate::body::{self, Body, LARGE_BYTES, Reader};
use crate::directory::Directory;
use crate::events::{Parcel, Post};
use crate::meters::{self, Meters, Outcome};
use crate::refusal::Refusal;

/// Large bodies that are checked and split at once: enough to use every core, not enough to starve
/// the threads that serve requests.
const LARGE_AT_WORK: usize = 8;

/// Whoever waits longer for an answer may have gone, and come again at a time of their own. Meta does not
/// say how long it waits; the broker has two seconds (`amqp.publish_timeout`).
const LATE: Duration = Duration::from_secs(3);

/// Everything a POST passes through.
pub(crate) struct Door {
    directory: Arc<Directory>,
    admission: Admission,
    publisher: Publisher,
    clock: Arc<dyn Clock>,
    reader: Reader,
    read_timeout: Duration,
    large_at_work: Arc<Semaphore>,
    meters: Meters,
    pulse: Pulse,
    stopping: CancellationToken,
    posts: TaskTracker,
}

impl Door {
    pub(crate) fn new(
        directory: Arc<Directory>,
        admission: Admission,
        publisher: Publisher,
        clock: Arc<dyn Clock>,
        pulse: Pulse,
        http: &settings::Http,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            directory,
            admission,
            publisher,
            clock,
            reader: Reader::new(http.webhook_body_limit_bytes),
            read_timeout: http.webhook_read_timeout,
            large_at_work: Arc::new(Semaphore::new(LARGE_AT_WORK)),
            meters: Meters::register(),
            pulse,
            stopping,
            posts: TaskTracker::new(),
        }
    }

    /// The app that a request's address belongs to.
    pub(crate) async fn app(&self, request: &HttpRequest) -> Result<Arc<App>, Refusal> {
        let slug = request.match_info().get("app");
        if let Some(app) = self.directory.app(slug) {
            return Ok(app);
        }
        self.directory.look_again().await;
        self.directory.app(slug).ok_or(Refusal::UnknownApp)
    }

    pub(crate) async fn drained(&self) {
        self.stopping.cancelled().await;
        self.posts.close();
        self.posts.wait().await;
    }

    async fn take(&self, request: &HttpRequest, payload: &mut Payload) -> Result<Taken, Refusal> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Draining);
        }
        let deadline = Instant::now() + self.read_timeout;
        let signature = body::signature_of(request, self.reader.limit())?;
        let app = self.app(request).await?;
        let received_at_us = self.clock.now().timestamp_micros();
        let Body { bytes, seat } = self.reader.read(payload, deadline).await?;
        let known = self.directory.known();
        let post = Post { app, known, signature, body: bytes, received_at_us };
        let parcels = self.open(request, post, deadline).await?;
        Ok(Taken { parcels, _seat: seat })
    }

    /// Checks and splits; looks for newer secrets before a signature is called wrong.
    async fn open(
        &self,
        request: &HttpRequest,
        post: Post,
        deadline: Instant,
    ) -> Result<Vec<Parcel>, Refusal> {
        let opened = self.work(&post, deadline).await;
        let slug = request.match_info().get("app");
        if slug.is_none() || !matches!(opened, Err(Refusal::WrongSignature)) {
            return opened;
        }
        self.directory.look_again().await;
        match self.directory.app(slug) {
            Some(app) if !Arc::ptr_eq(&app, &post.app) => {
                let known = self.directory.known();
                self.work(&Post { app, known, ..post }, deadline).await
            }
            _ => opened,
        }
    }

    async fn work(&self, post: &Post, deadline: Instant) -> Result<Vec<Parcel>, Refusal> {
        if post.body.len() <= LARGE_BYTES {
            return post.open();
        }
        let permit = body::permit(&self.large_at_work, deadline).await?;
        // It runs to its end even when the sender is gone, so the permit goes with it.
        let post = post.clone();
        let work = move || {
            let _permit = permit;
            post.open()
        };
        tokio::task::spawn_blocking(work).await?
    }

    /// Publishes the events in their order, and counts what became of them.
    async fn publish(&self, parcels: Vec<Parcel>) -> Result<(), Refusal> {
        let tally = Tally::of(&parcels);
        let span = Span::current();
        span.record("switchyard.webhook.kind", tally.label());
        span.record("switchyard.webhook.events", parcels.len());
        let published = match self.admission.address(parcels).await {
            Ok(messages) => self.publisher.publish_all(messages).await.map_err(Refusal::from),
            Err(refusal) => Err(refusal),
        };
        tally.count(&self.meters, published.as_ref().err());
        published
    }
}

/// What a POST holds, with its seat.
struct Taken {
    parcels: Vec<Parcel>,
    _seat: Option<OwnedSemaphorePermit>,
}

/// How many events there are of each kind, and of numbers that nobody has connected.
struct Tally(Vec<(EventKind, bool, u64)>);

impl Tally {
    fn of(parcels: &[Parcel]) -> Self {
        let mut rows: Vec<(EventKind, bool, u64)> = Vec::new();
        for parcel in parcels {
            let same = rows.iter_mut().find(|row| (row.0, row.1) == (parcel.kind, parcel.is_stray));
            match same {
                Some(row) => row.2 += 1,
                None => rows.push((parcel.kind, parcel.is_stray, 1)),
            }
        }
        Self(rows)
    }

    fn label(&self) -> &'static str {
        match self.0.split_first() {
            Some((first, rest)) if rest.iter().all(|row| row.0 == first.0) => {
                meters::label(first.0)
            }
            Some(_) => "mixed",
            None => "none",
        }
    }

    fn count(&self, meters: &Meters, refusal: Option<&Refusal>) {
        for &(kind, is_stray, events) in &self.0 {
            let outcome = match refusal {
                Some(refusal) => refusal.outcome(),
                None if is_stray => Outcome::UnknownConnection,
                None => Outcome::Accepted,
            };
            meters.events(kind, outcome, events);
        }
    }
}

/// `POST /webhooks/whatsapp[/{app}]`: 200 without a body when all of it is at the broker.
pub(crate) async fn receive(
    request: HttpRequest,
    mut payload: Payload,
    door: Data<Door>,
) -> HttpResponse {
    let begun = Instant::now();
    let _in_hand = door.posts.token();
    let span = info_span!(
        "POST /webhooks/whatsapp",
        switchyard.webhook.kind = Empty,
        switchyard.webhook.events = Empty
    );
    let taken = async {
        let taken = door.take(&request, &mut payload).await;
        let taken = taken.inspect_err(|refusal| door.meters.unread(refusal.outcome()))?;
        door.publish(taken.parcels).await
    };
    match taken.instrument(span).await {
        Ok(()) => {
            let took = begun.elapsed();
            door.meters.took(took);
            if took > LATE {
                door.pulse.failed();
            }
            HttpResponse::Ok().finish()
        }
        Err(refusal) => {
            // Whoever floods us must not flood the log: these are counted.
            debug!(code = refusal.code(), error = %chain(&refusal), "webhook refused");
            if refusal.is_ours() {
                door.pulse.failed();
            }
            answer::refuse(&refusal, Some(payload))
        }
    }
}
