//! Images between sellers, Postgres and the object store. An upload stores its objects first and its row
//! last, so nobody is shown an image that is not there. What it is about to store it notes before, so
//! nothing is left behind when it breaks off; a worker deletes what is due.

use std::sync::Arc;
use std::time::Duration;

use contracts::UserId;
use contracts::limits::MAX_IMAGE_BYTES;
use kit::problem::{Problem, Result};
use kit::telemetry::chain;
use kit::turns::Turns;
use kit::worker::Wake;
use sqlx::PgPool;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db;
use crate::image::{self, Name, Picture, Stored};
use crate::store::Store;

/// Bytes of all files in memory at a time: one that is decoded and the next, both of the largest size. With
/// [`DECODED`] and the 30 MB of a service at rest that is within the 256 MiB of a pod.
const FILE_BYTES: usize = 2 * MAX_IMAGE_BYTES;
/// What an upload counts at least, in bytes: small files may become larger ones. So there are up to three at a time.
const MIN_COUNTED_BYTES: usize = FILE_BYTES / 3;
/// Files that are decoded at a time: each takes a core, and up to 170 MB.
const DECODED: usize = 1;
/// Seconds that an upload may take, from its first object to its row: many times what a request may.
const UPLOAD_SECONDS: f64 = 10.0 * 60.0;
/// How often to look for what is due. One look costs a short index scan.
const POLL: Duration = Duration::from_secs(5);
/// Images deleted in one transaction.
const BATCH: i64 = 10;

/// Everything that images need; clones share it.
#[derive(Clone)]
pub(crate) struct Gallery(Arc<Shared>);

struct Shared {
    store: Store,
    pool: PgPool,
    /// Files of one account that come a byte at a time would otherwise keep the room of everybody's.
    turns: Turns,
    files: Arc<Semaphore>,
    decoded: Arc<Semaphore>,
    wake: Wake,
}

/// One of the few uploads at a time, from its first byte to its end; clones are the same upload.
#[derive(Clone)]
pub(crate) struct Upload {
    _place: Arc<(OwnedMutexGuard<()>, OwnedSemaphorePermit)>,
}

impl Gallery {
    pub(crate) fn new(store: Store, pool: PgPool) -> Self {
        Self(Arc::new(Shared {
            store,
            pool,
            turns: Turns::default(),
            files: Arc::new(Semaphore::new(FILE_BYTES)),
            decoded: Arc::new(Semaphore::new(DECODED)),
            wake: Wake::default(),
        }))
    }

    /// The object store.
    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    /// Waits until the account's upload before this one has ended and there is memory for another file of at most so many
    /// bytes. Nothing of it may be read before.
    pub(crate) async fn begin(&self, user: UserId, bytes: usize) -> Result<Upload> {
        if !self.0.store.is_there() {
            return Err(crate::store::Error::None.into());
        }
        let counted = u32::try_from(bytes.max(MIN_COUNTED_BYTES)).unwrap_or(u32::MAX);
        let turn = self.0.turns.take(user).await;
        let room = Arc::clone(&self.0.files).acquire_many_owned(counted).await;
        Ok(Upload { _place: Arc::new((turn, room.map_err(Problem::internal)?)) })
    }

    /// Makes of a file what the shop shows. A request that gives up does not stop the work under way, so
    /// the work itself holds both permits.
    pub(crate) async fn prepare(&self, file: Vec<u8>, upload: Upload) -> Result<Picture> {
        let permit = Arc::clone(&self.0.decoded).acquire_owned().await;
        let permit = permit.map_err(Problem::internal)?;
        let work = tokio::task::spawn_blocking(move || {
            let _permits = (permit, upload);
            image::prepare(&file)
        });
        match work.await {
            Ok(prepared) => Ok(prepared?),
            // A decoder that panics has been given a file that no decoder can use.
            Err(error) if error.is_panic() => {
                Err(Problem::new(image::REFUSED, "the file is damaged"))
            }
            Err(error) => Err(Problem::internal(error)),
        }
    }

    /// Stores a picture; its row is up to the caller, who claims it in the same transaction.
    pub(crate) async fn keep(&self, picture: Picture, alt: String) -> Result<Stored> {
        let Some(whole) = picture.sizes.last() else {
            return Err(Problem::internal("a picture without sizes"));
        };
        let image = Stored {
            id: Uuid::now_v7(),
            alt,
            format: picture.format,
            width: whole.width,
            height: whole.height,
            widths: picture.sizes.iter().map(|size| size.width).collect(),
        };
        let mut connection = self.0.pool.acquire().await?;
        db::note_upload(&mut connection, &image, UPLOAD_SECONDS).await?;
        drop(connection);
        for size in picture.sizes {
            let name = Name { id: image.id, width: size.width, format: image.format };
            let kind = image.format.media_type();
            let stored = self.0.store.put(&name.to_string(), kind, size.bytes.into()).await;
            if let Err(error) = stored {
                self.abandon(&image).await;
                return Err(error.into());
            }
        }
        Ok(image)
    }

    /// What was stored is not to be an image after all. If this fails too it is found later all the same.
    pub(crate) async fn abandon(&self, image: &Stored) {
        let noted = async {
            let mut connection = self.0.pool.acquire().await?;
            db::note_upload(&mut connection, image, 0.0).await
        };
        match noted.await {
            Ok(()) => self.0.wake.wake(),
            Err(error) => tracing::warn!(error = chain(&error), "an upload is cleaned up later"),
        }
    }

    /// Deletes what is due, until told to stop. Any number of replicas may do so at once.
    pub(crate) async fn clean(self, stop: CancellationToken) {
        if !self.0.store.is_there() {
            return stop.cancelled().await;
        }
        self.0.wake.run("images", POLL, &stop, || self.delete_due()).await;
    }

    async fn delete_due(&self) -> Result<usize, kit::StartError> {
        let mut tx = self.0.pool.begin().await?;
        let due = db::lock_discarded(&mut tx, BATCH).await?;
        for name in due.iter().flat_map(db::Discarded::names) {
            self.0.store.delete(&name.to_string()).await?;
        }
        let ids: Vec<_> = due.iter().map(|discarded| discarded.id).collect();
        if !ids.is_empty() {
            db::forget_discarded(&mut tx, &ids).await?;
        }
        tx.commit().await?;
        Ok(ids.len())
    }
}
