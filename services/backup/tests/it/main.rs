//! Backups of real databases in a real object store, and back.
#![expect(clippy::unwrap_used, reason = "a test")]

mod load;

use std::io::ErrorKind;
use std::net::SocketAddr;

use backup::config::Config;
use backup::{Error, create, restore, retention, store};
use kit::config::Env;
use kit::objects::Store;
use kit::testing::engine;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use url::Url;
use uuid::Uuid;

/// A shop with two services, a part of the store of its own, and databases that go with it.
struct Shop {
    prefix: String,
    databases: Vec<(&'static str, String)>,
}

impl Shop {
    /// With empty databases.
    async fn new() -> Self {
        let prefix = format!("{}/", Uuid::now_v7());
        let mut databases = Vec::new();
        for service in ["order", "user"] {
            let name = format!("backup_{}", Uuid::new_v4().simple());
            let admin = PgPool::connect(&engine("TEST_DATABASE_URL")).await.unwrap();
            admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
            admin.close().await;
            let mut url = Url::parse(&engine("TEST_DATABASE_URL")).unwrap();
            url.set_path(&name);
            databases.push((service, url.to_string()));
        }
        Self { prefix, databases }
    }

    fn config(&self, more: &[(&str, &str)]) -> Config {
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut variables = vec![
            own("SHOP_NAME", "demo"),
            own("SHOP_NAMESPACE", "shops"),
            own("SHOP_VERSION", "1.2.3"),
            own("BACKUP_SERVICES", "order,user"),
            own("OBJECT_STORE_URL", &engine("TEST_OBJECT_STORE_URL")),
            own("OBJECT_STORE_BUCKET", "test"),
            own("OBJECT_STORE_ACCESS_KEY", "test"),
            own("OBJECT_STORE_SECRET_KEY", "test-secret"),
            own("OBJECT_STORE_KEY_PREFIX", &self.prefix),
        ];
        for (service, url) in &self.databases {
            variables.push(own(&format!("{}_DATABASE_URL", service.to_uppercase()), url));
        }
        variables.extend(more.iter().map(|(name, value)| own(name, value)));
        Env::new(variables).parse().unwrap()
    }

    fn store(&self) -> Store {
        store(self.config(&[]).store).unwrap()
    }

    async fn pool(&self, service: &str) -> PgPool {
        let (_, url) = self.databases.iter().find(|(name, _)| *name == service).unwrap();
        PgPool::connect(url).await.unwrap()
    }

    async fn run(&self, service: &str, sql: &str) {
        let pool = self.pool(service).await;
        pool.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        pool.close().await;
    }

    async fn ask(&self, service: &str, sql: &str) -> i64 {
        let pool = self.pool(service).await;
        let answer = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&pool).await;
        pool.close().await;
        answer.unwrap()
    }

    /// Tables as the services have them: an extension, a schema, a sequence, a function, a trigger, and more
    /// than fits into one part.
    async fn fill(&self) {
        self.run(
            "order",
            "CREATE EXTENSION pg_trgm;
             CREATE TABLE orders (id bigserial PRIMARY KEY, note text NOT NULL, paid bytea);
             CREATE INDEX ON orders USING gin (note gin_trgm_ops);
             CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN NEW.note := upper(NEW.note); RETURN NEW; END $$;
             INSERT INTO orders (note, paid) SELECT 'note ' || n, decode(string_agg(md5((n * m)::text), ''), 'hex')
               FROM generate_series(1, 800) n, generate_series(1, 2000) m GROUP BY n;
             CREATE TRIGGER shouts BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION shout();",
        )
        .await;
        let users = "CREATE SCHEMA audit; CREATE TABLE audit.users (name text UNIQUE); \
                     INSERT INTO audit.users VALUES ('it''s me')";
        self.run("user", users).await;
    }

    /// What the databases have, as a number.
    async fn content(&self) -> i64 {
        let orders = "SELECT sum(hashtextextended(id || note || encode(paid, 'hex'), 0))::bigint FROM \
                      (SELECT id, note, paid FROM orders ORDER BY id) AS ordered";
        let orders = orders.replace("sum(", "bit_xor(");
        let users = "SELECT bit_xor(hashtextextended(name, 0)) FROM audit.users";
        self.ask("order", &orders).await ^ self.ask("user", users).await
    }

    async fn backups(&self) -> Vec<(String, bool)> {
        retention::list(&self.store()).await.unwrap().into_iter().collect()
    }

    async fn gone(self) {
        let admin = PgPool::connect(&engine("TEST_DATABASE_URL")).await.unwrap();
        for (_, url) in &self.databases {
            let name = Url::parse(url).unwrap().path().trim_start_matches('/').to_owned();
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        for object in self.store().list("").await.unwrap() {
            self.store().delete(&object).await.unwrap();
        }
    }
}

/// A shop with other databases that begins with a backup of this one.
async fn successor(shop: &Shop) -> Shop {
    Shop { prefix: shop.prefix.clone(), ..Shop::new().await }
}

#[tokio::test]
async fn a_new_shop_has_what_was_backed_up_and_nothing_is_overwritten() {
    let shop = Shop::new().await;
    shop.fill().await;
    let before = shop.content().await;
    let manifest = create::create(&shop.config(&[])).await.unwrap();
    assert_eq!((&*manifest.shop, &*manifest.version), ("demo", "1.2.3"));
    assert!(manifest.databases[0].parts.len() > 1, "{:?}", manifest.databases[0]);
    assert!(manifest.databases[0].program.contains("PostgreSQL"), "{manifest:?}");
    assert_eq!(restore::read(&shop.store(), &manifest.name).await.unwrap(), manifest);

    // What happens afterwards is not in it.
    shop.run("order", "INSERT INTO orders (note) VALUES ('late')").await;
    let config = shop.config(&[("BACKUP_NAME", &manifest.name)]);
    let refused = restore::restore(&config).await.unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { ref service } if service == "order"), "{refused}");
    assert_eq!(shop.ask("order", "SELECT count(*) FROM orders").await, 801);

    let next = successor(&shop).await;
    let config = next.config(&[("BACKUP_NAME", &manifest.name)]);
    restore::restore(&config).await.unwrap();
    assert_eq!(next.content().await, before);
    next.run("order", "INSERT INTO orders (note) VALUES ('loud')").await;
    assert_eq!(next.ask("order", "SELECT count(*) FROM orders WHERE note = 'LOUD'").await, 1);
    // The Job may be run again, after a node was lost: what was filled stays as it is.
    restore::restore(&config).await.unwrap();
    assert_eq!(next.ask("order", "SELECT count(*) FROM orders").await, 801);
    // Another backup is not for these databases.
    let other = create::create(&shop.config(&[])).await.unwrap();
    let refused = restore::restore(&next.config(&[("BACKUP_NAME", &other.name)])).await;
    assert!(matches!(refused, Err(Error::NotEmpty { .. })), "{refused:?}");
    next.gone().await;
    shop.gone().await;
}

#[tokio::test]
async fn a_restoration_that_was_stopped_halfway_goes_on() {
    let shop = Shop::new().await;
    shop.fill().await;
    let before = shop.content().await;
    let manifest = create::create(&shop.config(&[])).await.unwrap();
    let next = successor(&shop).await;
    // The second database cannot be reached, the first has been filled by then.
    let mut config = next.config(&[("BACKUP_NAME", &manifest.name)]);
    let (order, user) = (config.databases[0].clone(), config.databases[1].clone());
    config.databases = vec![order.clone()];
    restore::restore(&config).await.unwrap();
    config.databases = vec![order, user];
    restore::restore(&config).await.unwrap();
    assert_eq!(next.content().await, before);
    next.gone().await;
    shop.gone().await;
}

#[tokio::test]
async fn a_damaged_part_fills_nothing() {
    let shop = Shop::new().await;
    shop.fill().await;
    let manifest = create::create(&shop.config(&[])).await.unwrap();
    let part = &manifest.databases[0].parts[1];
    let object = backup::manifest::object(&manifest.name, &part.object);
    let bytes = vec![0; usize::try_from(part.bytes).unwrap()];
    shop.store().put(&object, "application/octet-stream", bytes.into()).await.unwrap();

    let next = successor(&shop).await;
    let config = next.config(&[("BACKUP_NAME", &manifest.name)]);
    let error = restore::restore(&config).await.unwrap_err();
    assert!(matches!(error, Error::Damaged(_)), "{error}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(next.ask("order", tables).await, 0);
    next.gone().await;
    shop.gone().await;
}

#[tokio::test]
async fn what_was_not_stored_whole_is_no_backup() {
    let shop = Shop::new().await;
    shop.fill().await;
    // A database that is not there, after one that is.
    let mut config = shop.config(&[]);
    config.databases[1].url =
        kit::secret::Secret::new("postgres://postgres:secret-word@127.0.0.1:1/no");
    let error = kit::telemetry::chain(&create::create(&config).await.unwrap_err());
    assert!(error.contains("the database of user could not be asked"), "{error}");
    assert!(!error.contains("secret-word"), "{error}");
    assert_eq!(shop.backups().await, []);

    // A store that goes away in the middle of an upload, and with it the chance to clean up.
    let store = away_after(20 << 20).await;
    let config = shop.config(&[("OBJECT_STORE_URL", &format!("http://{store}"))]);
    let error = create::create(&config).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    let left = shop.backups().await;
    assert!(left.len() == 1 && !left[0].1, "{left:?}");
    let error = restore::read(&shop.store(), &left[0].0).await.unwrap_err();
    assert!(matches!(error, Error::Missing(_)), "{error}");
    shop.gone().await;
}

#[tokio::test]
async fn the_newest_backups_are_kept() {
    let shop = Shop::new().await;
    shop.run("order", "CREATE TABLE orders (id bigint)").await;
    let mut made = Vec::new();
    for _ in 0..3 {
        let manifest = create::create(&shop.config(&[("BACKUP_KEEP", "2")])).await.unwrap();
        made.push((manifest.name, true));
        // Names are in the order of their seconds.
        let second = chrono::Utc::now().timestamp();
        while chrono::Utc::now().timestamp() == second {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(shop.backups().await, made[1..]);
    let left = shop.store().list("backups/").await.unwrap();
    assert!(left.iter().all(|object| !object.contains(&made[0].0)), "{left:?}");
    shop.gone().await;
}

/// A way to the object store that ends, for ever, when so many bytes have gone there.
async fn away_after(bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Url::parse(&engine("TEST_OBJECT_STORE_URL")).unwrap();
    let to = format!("{}:{}", store.host_str().unwrap(), store.port().unwrap());
    tokio::spawn(async move {
        let mut left = bytes;
        while left > 0 {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(&to).await.unwrap();
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let answers = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
            let mut buffer = vec![0; 64 << 10];
            while left > 0 {
                match from_client.read(&mut buffer).await {
                    Ok(0) => break,
                    Ok(read) => {
                        left = left.saturating_sub(read);
                        to_server.write_all(&buffer[..read]).await.unwrap();
                    }
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if left == 0 {
                answers.abort();
            }
        }
    });
    address
}
