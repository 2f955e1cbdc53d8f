//! Who may do what: `e2e/actors/` has a row for each operation of the API and each actor. The shop's documents are
//! compared with it (`tests/generated.rs`), and so is a real shop (`tests/cluster/access.rs`).
//!
//! A row: method and path; what the parameters of the path stand for, an object or a `'literal'`; the answer that each
//! actor gets; the request. An answer is a status, or several that are all right, and perhaps a type of problem:
//! `409/412:sku-taken`. 401, 403 and 404 mean that the actor may not, unless there is a `+` before them; what an actor
//! may do is requested in a way that changes nothing where that is possible. The request: `stale`, with a version
//! that nothing has; `key`, with an idempotency key; `cart`, with a guest's cart; `junk`, with a body that is no image;
//! and JSON, in which `"@name"` is an object.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};

/// The tables, in the order in which a shop is asked: the last one ends sessions.
const TABLES: [(&str, &str); 9] = [
    ("gateway", include_str!("../actors/gateway.txt")),
    ("catalog", include_str!("../actors/catalog.txt")),
    ("cart", include_str!("../actors/cart.txt")),
    ("order", include_str!("../actors/order.txt")),
    ("payment", include_str!("../actors/payment.txt")),
    ("inventory", include_str!("../actors/inventory.txt")),
    ("review", include_str!("../actors/review.txt")),
    ("notification", include_str!("../actors/notification.txt")),
    ("user", include_str!("../actors/user.txt")),
];

/// Objects that rows name, and what they are.
pub const OBJECTS: [(&str, &str); 17] = [
    ("product", "a product of the seller"),
    ("sku", "stock of the seller's product"),
    ("variant", "a variant of it"),
    ("image", "an image of it"),
    ("file", "a file of an image"),
    ("category", "a category"),
    ("order", "a paid order of the customer"),
    ("delivered", "a delivered order of the customer"),
    ("review", "a review by the customer"),
    ("hidden", "a hidden review by the other customer"),
    ("announcement", "a supply that the seller expects"),
    ("address", "an address of the customer"),
    ("method", "a payment method of the customer"),
    ("customer", "the customer's account"),
    ("other", "the other customer's account"),
    ("nothing", "an id that nothing has"),
    ("tomorrow", "a day"),
];

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Actor {
    /// Without an account.
    Guest,
    /// Has bought from the seller.
    Customer,
    /// Another one, who has bought from the seller too.
    OtherCustomer,
    /// Sells what the rows are about.
    Seller,
    /// Sells something else.
    OtherSeller,
    /// Runs the shop.
    Admin,
    /// Ran the shop until a moment ago, and has a token that says so.
    DemotedAdmin,
}

impl Actor {
    /// In the order of the columns.
    pub const ALL: [Self; 7] = [
        Self::Guest,
        Self::Customer,
        Self::OtherCustomer,
        Self::Seller,
        Self::OtherSeller,
        Self::Admin,
        Self::DemotedAdmin,
    ];
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Guest => "guest",
            Self::Customer => "customer",
            Self::OtherCustomer => "other customer",
            Self::Seller => "seller",
            Self::OtherSeller => "other seller",
            Self::Admin => "administrator",
            Self::DemotedAdmin => "demoted administrator",
        })
    }
}

/// What an actor must be answered.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Any of these status codes.
    pub statuses: Vec<u16>,
    slug: Option<String>,
    may: bool,
}

impl Expected {
    fn parse(cell: &str) -> Result<Self> {
        let (marked, cell) = match cell.strip_prefix('+') {
            Some(rest) => (true, rest),
            None => (false, cell),
        };
        let (statuses, slug) = match cell.split_once(':') {
            Some((statuses, slug)) => (statuses, Some(slug.to_owned())),
            None => (cell, None),
        };
        let statuses: Vec<u16> = statuses.split('/').map(str::parse).collect::<Result<_, _>>()?;
        ensure!(statuses.iter().all(|status| (200..500).contains(status)), "no such status");
        let refused = statuses.iter().any(|status| matches!(status, 401 | 403 | 404));
        Ok(Self { statuses, slug, may: marked || !refused })
    }

    /// Whether the actor may do this, if all else is right.
    pub fn may(&self) -> bool {
        self.may
    }

    /// The type of problem that an answer of this status must have, if it must have one.
    pub fn slug(&self, status: u16) -> Option<&str> {
        let usual = match status {
            401 => Some("unauthenticated"),
            403 => Some("forbidden"),
            404 => Some("not-found"),
            412 => Some("stale-version"),
            _ => None,
        };
        if status < 400 { None } else { self.slug.as_deref().or(usual) }
    }

    /// In a word.
    pub fn word(&self) -> &'static str {
        match self.statuses.first() {
            _ if self.may => "yes",
            Some(401) => "log in",
            Some(404) => "hidden",
            _ => "no",
        }
    }
}

/// What is sent with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// A version that nothing has, as `If-Match`.
    StaleVersion,
    /// A new idempotency key.
    Key,
    /// The token of a guest's cart.
    GuestCart,
    /// A body that is no image.
    Junk,
}

impl With {
    fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "stale" => Self::StaleVersion,
            "key" => Self::Key,
            "cart" => Self::GuestCart,
            "junk" => Self::Junk,
            _ => anyhow::bail!("{word} is no option"),
        })
    }
}

/// An operation, and what each actor is answered.
#[derive(Clone, Debug)]
pub struct Row {
    /// Who answers.
    pub service: &'static str,
    /// In capitals.
    pub method: String,
    /// As the document writes it.
    pub path: String,
    /// What the parameters of the path stand for.
    pub objects: BTreeMap<String, String>,
    /// What is sent besides.
    pub with: Vec<With>,
    /// JSON to be sent.
    pub body: Option<String>,
    expected: Vec<Expected>,
}

impl Row {
    fn parse(service: &'static str, line: &str) -> Result<Self> {
        let mut columns = line.splitn(4, '|').map(str::trim);
        let mut next = || columns.next().context("there are four columns");
        let (operation, objects, answers, request) = (next()?, next()?, next()?, next()?);
        let mut words = operation.split_whitespace();
        let (Some(method), Some(path), None) = (words.next(), words.next(), words.next()) else {
            anyhow::bail!("{operation} is no operation");
        };
        let objects = objects.split_whitespace().map(|pair| {
            let (name, object) = pair.split_once('=').context("what is not name=object")?;
            let known = OBJECTS.iter().any(|(known, _)| *known == object);
            ensure!(known || object.starts_with('\''), "there is no object {object}");
            Ok((name.to_owned(), object.to_owned()))
        });
        let expected: Vec<_> =
            answers.split_whitespace().map(Expected::parse).collect::<Result<_>>()?;
        ensure!(expected.len() == Actor::ALL.len(), "{} answers", expected.len());
        let (options, body) = match request.find('{') {
            Some(at) => (&request[..at], Some(request[at..].to_owned())),
            None => (request, None),
        };
        let with = options.split_whitespace().map(With::parse).collect::<Result<_>>()?;
        Ok(Self {
            service,
            method: method.to_owned(),
            path: path.to_owned(),
            objects: objects.collect::<Result<_>>()?,
            with,
            body,
            expected,
        })
    }

    /// What this actor must be answered.
    pub fn expected(&self, actor: Actor) -> &Expected {
        let place = Actor::ALL.iter().position(|known| *known == actor);
        &self.expected[place.expect("all actors are among all")]
    }

    /// Whether it can change something (RFC 9110, 9.2.1).
    pub fn is_unsafe(&self) -> bool {
        self.method != "GET"
    }
}

/// All rows, in the order in which they are to be tried.
pub fn table() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (service, text) in TABLES {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        for line in lines {
            let row = Row::parse(service, line);
            rows.push(row.with_context(|| format!("e2e/actors/{service}.txt: {line}"))?);
        }
    }
    Ok(rows)
}
