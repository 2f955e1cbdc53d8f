//! What an image of a product is: what Postgres knows of it, what everybody sees of it, and what its sizes are
//! called. What becomes of the file that a seller sends is in [`prepare()`].

mod large;
mod prepare;
mod segments;
#[cfg(test)]
mod tests;

pub(crate) use prepare::REFUSED;
pub use prepare::{Picture, Refusal, Written, prepare};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most images of a product.
pub const MAX_IMAGES: usize = 20;
/// Longest alternative text, in characters.
pub const MAX_ALT: usize = 500;

/// An image of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProductImage)]
pub struct Image {
    /// The image.
    pub id: Uuid,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The sizes that there are of it, the smallest first; the last is its own.
    pub sizes: Vec<Size>,
}

/// One size of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProductImageSize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Where it is, from the root of the shop. What is there never changes.
    #[schema(example = "/api/v1/images/019a3c8e-52d1-7c30-9a6e-4b8f0a1d2c3e-320.jpg")]
    pub url: String,
}

/// An image as Postgres knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stored {
    /// The image.
    pub id: Uuid,
    /// What it shows.
    pub alt: String,
    /// Format of all its sizes.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Widths of its sizes.
    pub widths: Vec<u32>,
}

impl From<Stored> for Image {
    fn from(Stored { id, alt, format, width, height, widths }: Stored) -> Self {
        let size = |size_width| Size {
            width: size_width,
            height: scaled(height, size_width, width),
            url: format!("/api/v1/images/{}", Name { id, width: size_width, format }),
        };
        Self { id, alt, width, height, sizes: widths.into_iter().map(size).collect() }
    }
}

/// A format that sizes are written in. Photographs are JPEG; what has transparent parts is WebP without loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JPEG (ISO/IEC 10918-1).
    Jpeg,
    /// WebP (RFC 9649).
    Webp,
}

impl Format {
    /// As it is written in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }
}

/// The name of one size of an image, in addresses and in the object store: `<id>-<width>.<extension>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The image.
    pub id: Uuid,
    /// Width of the size, in pixels.
    pub width: u32,
    /// Format.
    pub format: Format,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}.{}", self.id, self.width, self.format.extension())
    }
}

impl Name {
    /// Reads a name that we have written, and no other.
    pub fn parse(text: &str) -> Option<Self> {
        let (stem, extension) = text.rsplit_once('.')?;
        let (id, width) = stem.rsplit_once('-')?;
        let formats = [Format::Jpeg, Format::Webp];
        let format = formats.into_iter().find(|format| format.extension() == extension)?;
        let name = Self { id: id.parse().ok()?, width: width.parse().ok()?, format };
        (name.to_string() == text).then_some(name)
    }
}

/// A height in the proportion of two widths, at least one pixel.
fn scaled(height: u32, width: u32, of: u32) -> u32 {
    let exact = (u64::from(height) * u64::from(width) + u64::from(of) / 2) / u64::from(of.max(1));
    u32::try_from(exact).unwrap_or(u32::MAX).max(1)
}
