//! Every reason that a condition, an event or the metric of errors can have.

/// What may stand behind a reason.
macro_rules! remedy {
    () => {
        None
    };
    ($text:literal) => {
        Some($text)
    };
}

/// An enum whose variants are named as they are written, with what to do about each.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident $(=> $remedy:literal)?,)*) => {
        /// Why a condition is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }

            /// What to do about it, in Markdown; nothing where nothing has to be done.
            pub const fn remedy(self) -> Option<&'static str> {
                match self { $(Self::$name => remedy!($($remedy)?),)* }
            }

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
    NoPods => "`kubectl get pods -l app.kubernetes.io/instance=<shop>` shows why no pod of these services is ready; the shop sells again as soon as one is.",
    /// What runs is what the spec asks for.
    UpToDate,
    /// Services are not all in their desired state yet.
    RollingOut,
    /// A rollout has passed its deadline.
    RolloutStuck => "`kubectl describe deployment` and `kubectl logs` of the service say why new pods do not become ready. The old pods serve on. Set the image or configuration back, or mend it.",
    /// A container crashes again and again.
    CrashLooping => "Read the log of the container that is named (`kubectl logs --previous`). It is restarted ever more rarely until its cause is gone.",
    /// No node takes a pod.
    Unschedulable => "The message has the scheduler's own words: too little memory or too few CPUs, a taint, a node selector, or a volume on another node. Free or add nodes, or change `resources`, `scheduling` or the volume.",
    /// The image of a container cannot be had.
    ImageUnavailable => "Correct the image, push it, or give the nodes the right to pull it (`imagePullSecrets`). Pods of the version before serve on.",
    /// A container cannot be made or started.
    ContainerNotStarted => "The message has the kubelet's own words, mostly a Secret, ConfigMap or key that is missing.",
    /// The API server refuses the pods of a Deployment.
    PodsRefused => "The message has the API server's own words: a quota, a limit range, a pod security level or an admission webhook.",
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
    DataLost => "Create another Shop with `restoreFrom`, or accept the loss with the annotation `shop-operator.io/acknowledge-data-loss=true`. Find out who removed the volume or the databases.",
    /// No loss of data is known.
    NoDataLost,
    /// Redis answers.
    CacheReady,
    /// Redis does not answer.
    CacheUnreachable => "Look at Redis, at the address in its Secret, and at what lies between (`networkPolicies.additionalEgress`).",
    /// The object store answers.
    ObjectStoreReady,
    /// The object store does not answer.
    ObjectStoreUnreachable => "Look at the object store and its address. The shop sells without images meanwhile.",
    /// Every topic is there.
    TopicsReady,
    /// A topic cannot be made what the spec asks for.
    TopicChangeRefused => "Set `spec.topics` back, or reassign partitions with the tools of the brokers: fewer partitions would lose records.",
    /// Topics of the Shop's names exist and are not its own.
    TopicTaken => "Set `topics.adoptExisting` if the topics are this shop's, delete them, or create the Shop again with another `topics.prefix`.",
    /// Topics have more partitions than before.
    PartitionsGrown,
    /// Every database has the schema of its service.
    Applied,
    /// Migrations are under way.
    MigrationsRunning,
    /// A migration has failed.
    MigrationFailed => "The message has the last line of the Job; `kubectl logs job/<name>` has all of them. Mend the cause or set the image back; the migration is repeated every ten minutes, and at once when you delete the Job.",
    /// A new version of a service takes over in steps.
    RolloutProgressing,
    /// A new version of a service waits.
    RolloutPaused => "A version waits for more requests, for its pods, or for `shop-operator.io/promote=<service>`; see [rollouts.md](rollouts.md).",
    /// A new version of a service was taken back.
    RolloutFailed => "The version was taken back for the reason in the message. Another image or configuration is tried again.",
    /// A new version of a service has taken over.
    RolloutSucceeded,
    /// Every service that is rolled out in steps has the wanted version.
    RolloutsSettled,
    /// Demo data is being written.
    DemoDataDue,
    /// Demo data was written.
    DemoDataWritten,
    /// A Job for demo data has failed.
    DemoDataFailed => "Read the log of the Job and delete it: it is made again.",
    /// The databases were filled from a backup.
    Restored,
    /// The databases are being filled from a backup.
    RestoreRunning,
    /// The databases could not be filled from a backup.
    RestoreFailed => "Read the log of the Job; see [backups.md](backups.md). Nothing else touches the databases until it succeeds. A change of the spec tries again.",
    /// There is a backup.
    BackedUp,
    /// The first backup is still to come.
    NoBackupYet => "Wait for the schedule, or ask for a backup now; see [backups.md](backups.md).",
    /// The schedule of backups is stopped.
    BackupsSuspended => "Nothing is backed up until `spec.backup.suspend` is false.",
    /// The last backup has failed.
    BackupFailed => "The message has the last line of the Job. The next is made by the schedule; see [backups.md](backups.md).",
    /// The test provider is the only payment provider.
    TestProviderAlone => "The shop moves no money. Set `spec.payments.stripe` before it sells.",
    /// The test provider is on beside another payment provider.
    TestProviderAllowed => "Anybody can pay with the provider for tests. Remove `spec.payments.allowTestProviderBesideStripe` before the shop sells.",
    /// Stripe charges, and the test provider does not.
    StripeConfigured,
    /// The addresses of proxies are known.
    ProxiesTrusted,
    /// There are proxies, and the spec does not say which.
    NoTrustedProxies => "Set `spec.gateway.trustedProxies` to the addresses of the Ingress controller or Gateway: guests share one limit until then.",
    /// ServiceMonitors are applied.
    ServiceMonitorsApplied,
    /// Every Gateway has taken the HTTPRoute.
    RouteAccepted,
    /// A Gateway has said nothing of the HTTPRoute as it is now.
    RouteUnanswered => "Is there a Gateway of that name, and does its controller run?",
    /// A Gateway does not take the HTTPRoute, or not what it leads to.
    RouteRefused => "The message has the Gateway's own words. Its listeners say which namespaces and host names they take.",
    /// The API server has not taken an object yet, or was not asked to.
    NotApplied => "Wait; if it lasts, `Degraded` says why.",
    /// The cluster lacks an API that the spec asks for.
    ApiMissing => "Install the CRD that is named, or do not ask for it in the spec. The shop sells without it.",
    /// The spec does not ask for it.
    NotWanted,
    /// Writes are stopped.
    PausedByAnnotation => "Remove the annotation `shop-operator.io/paused` to have changes applied and drift repaired.",
    /// Writes are not stopped.
    NotPaused,
    /// The spec is wrong in itself.
    InvalidSpec => "Mend the field that is named. What runs is left as it is.",
    /// The spec names a Secret, or a key of one, that does not exist.
    SecretMissing => "Create the Secret or key that is named. What runs is left as it is.",
    /// The value of a key of such a Secret cannot be used.
    SecretInvalid => "Write the key that is named again, for example with `printf` in place of `echo`.",
    /// What the spec refers to could not be read.
    ObserveFailed => "The API server did not answer, or the operator lacks a right. It is tried again.",
    /// A reconciliation was cancelled, because it took too long.
    ReconcileTimedOut => "Something does not answer for minutes. The log of the operator says what it waited for.",
    /// A Secret has no usable private key.
    SigningKeyInvalid => "Delete the key from the Secret: a new one is made, and everybody has to log in again.",
    /// No URL can be made of an engine's address.
    UrlInvalid => "Mend the address of the engine.",
    /// An object of a child's name belongs to somebody else.
    NameTaken => "Rename or delete the object that is named, or name the Shop otherwise. It belongs to something else and is never taken.",
    /// A child of a deleted Shop of the same name is left.
    PredecessorNotGone => "Wait for the garbage collector. If it lasts, something holds the object with a finalizer.",
    /// A child is being deleted.
    ObjectTerminating => "Wait. If it lasts, something holds the object with a finalizer.",
    /// A volume is to grow and is not bound yet.
    VolumeNotBound => "`kubectl describe pvc` says what the volume waits for. It grows when it is bound.",
    /// The storage class of a volume lets none grow.
    VolumeCannotGrow => "Set the size back, or move the data to a volume of a storage class with `allowVolumeExpansion`.",
    /// A volume that was left by a Shop of this name is larger than the spec asks for.
    VolumeCannotShrink => "Set the size to that of the volume.",
    /// The API server did not take an object.
    ApplyFailed => "The message has the API server's own words: a quota, an admission webhook, a policy or a field that it does not take. It is tried again.",
    /// Postgres does not answer.
    DatabaseUnreachable => "Look at Postgres, at its address, and at what lies between.",
    /// Postgres refuses the administrator.
    DatabaseLoginRefused => "Mend user name or password in the Secret of `database.external.adminSecretRef`.",
    /// A database of that name belongs to somebody else.
    DatabaseTaken => "Rename that database or drop it, or name the Shop otherwise. It is never taken.",
    /// A statement failed.
    DatabaseStatementFailed => "The message has the server's own words. The administrator may lack a right (`CREATEDB`, `CREATEROLE`).",
    /// Kafka does not answer.
    BrokersUnreachable => "Look at Kafka, at `bootstrapServers`, and at what lies between; brokers have to be reached under the addresses that they advertise.",
    /// Kafka refuses the login.
    BrokersLoginRefused => "Mend user name, password or mechanism of `events.external.security`.",
    /// A request to Kafka failed.
    BrokersRequestFailed => "The message has the brokers' own words.",
    /// A topic could not be created or changed.
    TopicFailed => "The message has the brokers' own words. The user may lack a right on topics, or there are too few brokers for `topics.replicationFactor`.",
    /// The finalizer could not be changed.
    FinalizerFailed => "The API server did not take a change of the Shop. It is tried again.",
    /// An annotation that was followed could not be removed.
    AnnotationUpdateFailed => "The API server did not take a change of the Shop. It is tried again.",
    /// The status could not be written.
    StatusFailed => "The API server did not take the status. It is tried again.",
    /// The Shop is being deleted, and waits for something.
    Deleting => "The message says what the deletion waits for. It gives up after ten minutes and names what is left in an event.",
    /// Something could not be deleted with its Shop.
    DataLeft => "Delete what is named by hand, if it is not wanted any more.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_reads_as_it_is_named() {
        assert_eq!(Reason::MigrationFailed.as_str(), "MigrationFailed");
    }
}
