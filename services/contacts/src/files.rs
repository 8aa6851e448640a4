//! The files of imports and exports: in a folder that every process sees, or in a bucket of S3.
//!
//! Invariants: a file is there whole or not at all; memory holds a part of it. Not in PostgreSQL: a file
//! of some hundred megabytes would go through its log twice, for nothing that its transactions give.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, TryStreamExt};
use kernel::Retryable;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::io::AsyncReadExt;

/// Parts that are on the way to the store at once: what memory holds are so many parts of 5 MiB.
const PARTS: usize = 4;
/// Bytes read from the disk at once.
const CHUNK: usize = 256 * 1024;

/// Where files are; cheap to clone.
#[derive(Clone)]
pub(crate) struct Files {
    settings: Arc<settings::Files>,
    store: Arc<OnceLock<Arc<dyn ObjectStore>>>,
}

/// A file could not be kept or fetched.
#[derive(Debug, Error)]
pub(crate) enum FilesError {
    /// The folder is not there, and cannot be made.
    #[error("the folder of files.folder cannot be written")]
    Folder(#[source] std::io::Error),
    /// The store refused, or is away.
    #[error("the file store does not do its work")]
    Store(#[from] object_store::Error),
    /// The disk for temporary files is full, or away.
    #[error("a temporary file cannot be written")]
    Temporary(#[from] std::io::Error),
    /// Whoever sends the file broke off.
    #[error("the file broke off")]
    BrokeOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file is larger than files may be.
    #[error("the file has more than {most} bytes")]
    TooLarge {
        /// Bytes of a file at most.
        most: u64,
    },
}

impl Retryable for FilesError {
    fn is_transient(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Store(_) | Self::Temporary(_) => true,
            Self::BrokeOff(_) | Self::TooLarge { .. } => false,
        }
    }
}

impl Files {
    pub(crate) fn new(settings: settings::Files) -> Self {
        Self { settings: Arc::new(settings), store: Arc::default() }
    }

    /// Keeps what `parts` brings, up to `most` bytes; answers with how many they were.
    pub(crate) async fn keep<E>(
        &self,
        path: &str,
        parts: impl Stream<Item = Result<Bytes, E>>,
        most: u64,
    ) -> Result<u64, FilesError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut writer = WriteMultipart::new(self.store()?.put_multipart(&Path::from(path)).await?);
        match copy(parts, &mut writer, most).await {
            Ok(length) => {
                writer.finish().await?;
                Ok(length)
            }
            Err(error) => {
                writer.abort().await?;
                Err(error)
            }
        }
    }

    /// Keeps what is in `file`, from its beginning.
    pub(crate) async fn keep_file(&self, path: &str, mut file: File) -> Result<u64, FilesError> {
        file.rewind()?;
        let file = tokio::fs::File::from_std(file);
        let parts = futures_util::stream::try_unfold(file, |mut file| async move {
            let mut part = vec![0; CHUNK];
            let length = file.read(&mut part).await?;
            part.truncate(length);
            Ok::<_, std::io::Error>((length > 0).then(|| (Bytes::from(part), file)))
        });
        self.keep(path, parts, u64::MAX).await
    }

    /// A copy in a file that only this process has, and that is gone with it; `None` when there is none.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Option<File>, FilesError> {
        let Some((_, mut parts)) = self.read(path).await? else { return Ok(None) };
        let mut file = tempfile::tempfile()?;
        while let Some(part) = parts.try_next().await? {
            file.write_all(&part)?;
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(Some(file))
    }

    /// The size of a file and its parts; `None` when there is none.
    pub(crate) async fn read(
        &self,
        path: &str,
    ) -> Result<Option<(u64, BoxStream<'static, Result<Bytes, FilesError>>)>, FilesError> {
        match self.store()?.get(&Path::from(path)).await {
            Ok(found) => {
                let size = found.meta.size;
                Ok(Some((size, found.into_stream().map_err(FilesError::from).boxed())))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file; one that is not there is removed.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), FilesError> {
        match self.store()?.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Every file below `prefix`, and since when it is there.
    pub(crate) async fn list(
        &self,
        prefix: &str,
    ) -> Result<Vec<(String, DateTime<Utc>)>, FilesError> {
        let found = self.store()?.list(Some(&Path::from(prefix)));
        let files = found.map_ok(|file| (file.location.to_string(), file.last_modified));
        Ok(files.try_collect().await?)
    }

    fn store(&self) -> Result<Arc<dyn ObjectStore>, FilesError> {
        if let Some(store) = self.store.get() {
            return Ok(Arc::clone(store));
        }
        let opened = open(&self.settings)?;
        Ok(Arc::clone(self.store.get_or_init(|| opened)))
    }
}

fn open(settings: &settings::Files) -> Result<Arc<dyn ObjectStore>, FilesError> {
    let Some(bucket) = &settings.bucket else {
        std::fs::create_dir_all(&settings.folder).map_err(FilesError::Folder)?;
        return Ok(Arc::new(LocalFileSystem::new_with_prefix(&settings.folder)?));
    };
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_region(&settings.region);
    if let Some(endpoint) = &settings.endpoint {
        let is_plain = endpoint.scheme() == "http";
        builder = builder
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_allow_http(is_plain);
    }
    if let Some(id) = &settings.access_key_id {
        builder = builder.with_access_key_id(id.expose_secret());
    }
    if let Some(secret) = &settings.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose_secret());
    }
    Ok(Arc::new(builder.build()?))
}

async fn copy<E>(
    parts: impl Stream<Item = Result<Bytes, E>>,
    writer: &mut WriteMultipart,
    most: u64,
) -> Result<u64, FilesError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut parts = std::pin::pin!(parts);
    let mut length = 0_u64;
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| FilesError::BrokeOff(error.into()))?;
        length += u64::try_from(part.len()).unwrap_or(u64::MAX);
        if length > most {
            return Err(FilesError::TooLarge { most });
        }
        writer.wait_for_capacity(PARTS).await?;
        writer.write(&part);
    }
    Ok(length)
}
