//! How letters look, as plain text and as HTML.

use contracts::{EmailToken, ProductId};

/// Whose letters these are.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Name of the shop.
    pub shop: String,
    /// Where shoppers find it, without a slash at the end.
    pub url: String,
}

/// A letter that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Subject line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// A part of a letter. Both bodies are made of the same parts, and HTML in one place only, so that
/// no name or product can bring markup of its own.
pub(super) enum Part {
    Paragraph(String),
    Link(String),
    Table(Vec<(String, String)>),
}

impl Sender {
    /// The page of the shop that gives a token back. In the fragment, which browsers keep to themselves: no
    /// log on the way has it, and no program that follows links in mails spends it.
    pub(super) fn link(&self, page: &str, token: &EmailToken) -> Part {
        Part::Link(format!("{}/{page}#{}", self.url, token.expose()))
    }

    /// A page of the shop.
    pub(super) fn page(&self, page: &str) -> Part {
        Part::Link(format!("{}/{page}", self.url))
    }

    /// The product, as everybody may read it.
    pub(super) fn product(&self, product: ProductId) -> Part {
        Part::Link(format!("{}/api/v1/products/{product}", self.url))
    }
}

pub(super) fn text(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Paragraph(text) | Part::Link(text) => text.clone(),
        Part::Table(rows) => rows
            .iter()
            .map(|(left, right)| format!("{left}: {right}"))
            .collect::<Vec<_>>()
            .join("\n"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join("\n\n") + "\n"
}

pub(super) fn html(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Paragraph(text) => format!("<p>{}</p>", escape(text)),
        Part::Link(url) => {
            let url = escape(url);
            format!("<p><a href=\"{url}\">{url}</a></p>")
        }
        Part::Table(rows) => {
            let row = |(left, right): &(String, String)| {
                format!("<tr><td>{}</td><td>{}</td></tr>", escape(left), escape(right))
            };
            format!("<table>{}</table>", rows.iter().map(row).collect::<String>())
        }
    };
    let body: String = parts.iter().map(part).collect();
    format!("<!doctype html><html><head><meta charset=\"utf-8\"></head><body>{body}</body></html>")
}

/// Text as HTML shows it, in content and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
