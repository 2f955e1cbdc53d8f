//! Every reason that a condition, an event or the metric of errors can have.

/// An enum whose variants are named as they are written.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// The word in conditions, events and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }
        }
    };
}

reasons! {
    /// Every required service answers.
    Available,
    /// A service without which a shop cannot sell has no pod that answers.
    NoPods,
    /// What runs is what the spec asks for.
    UpToDate,
    /// Services are not all in their desired state yet.
    RollingOut,
    /// A rollout has passed its deadline.
    RolloutStuck,
    /// A container crashes again and again.
    CrashLooping,
    /// Nothing is under way.
    Settled,
    /// Nothing needs help.
    AsDesired,
    /// A step before this one failed.
    NotReached,
    /// An engine does not accept connections yet.
    Starting,
    /// Every database is there.
    DatabasesReady,
    /// Databases were missing or empty although the shop had data in them.
    DataLost,
    /// No loss of data is known.
    NoDataLost,
    /// Redis answers.
    CacheReady,
    /// Redis does not answer.
    CacheUnreachable,
    /// The object store answers.
    ObjectStoreReady,
    /// The object store does not answer.
    ObjectStoreUnreachable,
    /// Every topic is there.
    TopicsReady,
    /// A topic cannot be made what the spec asks for.
    TopicChangeRefused,
    /// Topics of the Shop's names exist and are not its own.
    TopicTaken,
    /// Topics have more partitions than before.
    PartitionsGrown,
    /// Every database has the schema of its service.
    Applied,
    /// Migrations are under way.
    MigrationsRunning,
    /// A migration has failed.
    MigrationFailed,
    /// A new version of a service takes over in steps.
    RolloutProgressing,
    /// A new version of a service waits.
    RolloutPaused,
    /// A new version of a service was taken back.
    RolloutFailed,
    /// A new version of a service has taken over.
    RolloutSucceeded,
    /// Every service that is rolled out in steps has the wanted version.
    RolloutsSettled,
    /// Demo data is being written.
    DemoDataDue,
    /// Demo data was written.
    DemoDataWritten,
    /// A Job for demo data has failed.
    DemoDataFailed,
    /// The databases were filled from a backup.
    Restored,
    /// The databases are being filled from a backup.
    RestoreRunning,
    /// The databases could not be filled from a backup.
    RestoreFailed,
    /// There is a backup.
    BackedUp,
    /// The first backup is still to come.
    NoBackupYet,
    /// The schedule of backups is stopped.
    BackupsSuspended,
    /// The last backup has failed.
    BackupFailed,
    /// The test provider is the only payment provider.
    TestProviderAlone,
    /// The test provider is on beside another payment provider.
    TestProviderAllowed,
    /// Stripe charges, and the test provider does not.
    StripeConfigured,
    /// The addresses of proxies are known.
    ProxiesTrusted,
    /// There are proxies, and the spec does not say which.
    NoTrustedProxies,
    /// ServiceMonitors are applied.
    ServiceMonitorsApplied,
    /// Every Gateway has taken the HTTPRoute.
    RouteAccepted,
    /// A Gateway has said nothing of the HTTPRoute as it is now.
    RouteUnanswered,
    /// A Gateway does not take the HTTPRoute, or not what it leads to.
    RouteRefused,
    /// The API server has not taken an object yet, or was not asked to.
    NotApplied,
    /// The cluster lacks an API that the spec asks for.
    ApiMissing,
    /// The spec does not ask for it.
    NotWanted,
    /// Writes are stopped.
    PausedByAnnotation,
    /// Writes are not stopped.
    NotPaused,
    /// The spec is wrong in itself.
    InvalidSpec,
    /// The spec names a Secret, or a key of one, that does not exist.
    SecretMissing,
    /// The value of a key of such a Secret cannot be used.
    SecretInvalid,
    /// What the spec refers to could not be read.
    ObserveFailed,
    /// A reconciliation was cancelled, because it took too long.
    ReconcileTimedOut,
    /// The Shop's own Secrets could not be read.
    CredentialsUnreadable,
    /// A Secret has no usable private key.
    SigningKeyInvalid,
    /// No URL can be made of an engine's address.
    UrlInvalid,
    /// An object of a child's name belongs to somebody else.
    NameTaken,
    /// A child of a deleted Shop of the same name is left.
    PredecessorNotGone,
    /// A child is being deleted.
    ObjectTerminating,
    /// A volume is to grow and is not bound yet.
    VolumeNotBound,
    /// The storage class of a volume lets none grow.
    VolumeCannotGrow,
    /// A volume that was left by a Shop of this name is larger than the spec asks for.
    VolumeCannotShrink,
    /// The API server did not take an object.
    ApplyFailed,
    /// Postgres does not answer.
    DatabaseUnreachable,
    /// Postgres refuses the administrator.
    DatabaseLoginRefused,
    /// A database of that name belongs to somebody else.
    DatabaseTaken,
    /// A statement failed.
    DatabaseStatementFailed,
    /// Kafka does not answer.
    BrokersUnreachable,
    /// Kafka refuses the login.
    BrokersLoginRefused,
    /// A request to Kafka failed.
    BrokersRequestFailed,
    /// A topic could not be created or changed.
    TopicFailed,
    /// The finalizer could not be changed.
    FinalizerFailed,
    /// What holds the data of a deleted Shop could not be kept or deleted.
    CleanupFailed,
    /// An annotation that was followed could not be removed.
    AnnotationUpdateFailed,
    /// The status could not be written.
    StatusFailed,
    /// The Shop is being deleted, and waits for something.
    Deleting,
    /// Something could not be deleted with its Shop.
    DataLeft,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_it_is_named() {
        assert_eq!(Reason::MigrationFailed.as_str(), "MigrationFailed");
    }
}
