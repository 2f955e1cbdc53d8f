//! The first administrator, whose address and password the operator has made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::events::UserRegistered;
use contracts::{UserId, env};
use kit::StartError;
use kit::auth::Role;
use kit::config::Env;
use kit::outbox::Outbox;
use kit::problem::Problem;
use kit::telemetry::chain;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, Email, Name, Password};
use crate::cache::Cache;
use crate::credentials;
use crate::db::{self, EMAIL_UNIQUE, NewAccount, administrators};
use crate::password::Hasher;
use crate::throttle;

/// Pause between attempts, while the database is still starting.
const PAUSE: Duration = Duration::from_secs(1);

/// The first administrator's address and password.
#[derive(Clone, Debug)]
pub struct Administrator {
    email: Email,
    password: Password,
}

impl Administrator {
    /// Reads both variables or neither; the outer `None` says that something is wrong.
    pub fn from_env(env: &mut Env) -> Option<Option<Self>> {
        match env.optional::<Email>(env::ADMIN_EMAIL)? {
            None => Some(None),
            Some(email) => {
                let password = env.required(env::ADMIN_PASSWORD)?;
                Some(Some(Self { email, password }))
            }
        }
    }
}

/// Makes sure that there is an administrator, before anybody else can take the address, and that a
/// password which the operator gives anew is the one that holds.
#[derive(Clone)]
pub struct Appointment {
    /// Who it is; none: the shop has other ways.
    pub administrator: Option<Administrator>,
    /// Where accounts are.
    pub pool: PgPool,
    /// Events on their way out.
    pub outbox: Outbox,
    /// Hashes the password.
    pub hasher: Hasher,
    /// Accounts that were read lately.
    pub profiles: Cache,
    done: Arc<AtomicBool>,
}

impl Appointment {
    /// Nobody is appointed yet.
    pub fn new(
        administrator: Option<Administrator>,
        pool: PgPool,
        outbox: Outbox,
        hasher: Hasher,
        profiles: Cache,
    ) -> Self {
        let done = Arc::new(AtomicBool::new(administrator.is_none()));
        Self { administrator, pool, outbox, hasher, profiles, done }
    }

    /// For readiness.
    pub fn check(&self) -> Result<(), StartError> {
        let done = self.done.load(Ordering::Relaxed);
        done.then_some(()).ok_or_else(|| "there is no administrator yet".into())
    }

    /// Tries until there is an account with the address; then waits for the end.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StartError> {
        while let Some(administrator) = &self.administrator
            && !self.done.load(Ordering::Relaxed)
            && !stop.is_cancelled()
        {
            match self.appoint(administrator).await {
                Ok(()) => self.done.store(true, Ordering::Relaxed),
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "no settled administrator yet, trying again"
                    );
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
        stop.cancelled().await;
        Ok(())
    }

    async fn appoint(&self, administrator: &Administrator) -> Result<(), Problem> {
        if let Some(account) = self.find(&administrator.email).await? {
            // Never promoted: whoever holds the account may not be whom the operator means.
            if !account.roles.contains(&Role::Admin) {
                tracing::error!("the administrator's address belongs to another account");
                return Ok(());
            }
            return self.follow(account.id, administrator).await;
        }
        let hash = self.hasher.hash(administrator.password.clone()).await?;
        match self.open(administrator, &hash).await {
            // Another replica was faster.
            Err(error) if kit::postgres::violated(&error) == Some(EMAIL_UNIQUE) => Ok(()),
            other => Ok(other?),
        }
    }

    async fn find(&self, email: &Email) -> Result<Option<Account>, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        match db::by_email(&mut connection, email).await? {
            Some((id, _)) => db::account(&mut connection, id).await,
            None => Ok(None),
        }
    }

    async fn open(&self, administrator: &Administrator, hash: &str) -> Result<(), sqlx::Error> {
        let new = NewAccount {
            id: UserId::new(),
            email: &administrator.email,
            name: &Name::administrator(),
            password_hash: Some(hash),
            roles: &[Role::Customer, Role::Admin],
        };
        let mut tx = self.pool.begin().await?;
        let account = db::insert(&mut tx, &new).await?;
        let event =
            UserRegistered { user_id: account.id, email: account.email, name: account.name };
        self.outbox.append(&mut tx, &event).await?;
        administrators::remember_given(&mut tx, account.id, hash).await?;
        tx.commit().await?;
        tracing::info!(user = %account.id, "the first administrator has an account");
        Ok(())
    }

    /// Takes over a password that the operator did not give before. What the administrator has chosen
    /// meanwhile stays as long as the operator says the same.
    async fn follow(&self, id: UserId, administrator: &Administrator) -> Result<(), Problem> {
        let given = administrators::given(&mut *self.pool.acquire().await?, id).await?;
        let known = given.is_some();
        let password = administrator.password.clone();
        if known && self.hasher.verify(password.clone().into_secret(), given).await? {
            return Ok(());
        }
        let hash = self.hasher.hash(password).await?;
        let mut tx = self.pool.begin().await?;
        administrators::remember_given(&mut tx, id, &hash).await?;
        if known {
            if let Some(version) = db::set_password(&mut tx, id, &hash).await? {
                self.profiles.invalidate(id, version).await;
            }
            credentials::end_all(&mut tx, id).await?;
            tracing::info!(user = %id, "the first administrator has the password that is given now");
        }
        tx.commit().await?;
        self.profiles.committed(id);
        // The operator's way back in, whatever others have tried.
        throttle::forget_everywhere(&self.pool, &administrator.email).await?;
        Ok(())
    }
}
