//! What becomes of a file that a seller sends: it is looked at before it is decoded, turned the way its camera
//! was held, made small enough for pages, and written anew, without whatever else the file held. Without I/O
//! and without await; decoding takes the time of a core.

use std::io::Cursor;

use fast_image_resize::images::{Image as Raster, ImageRef as RasterRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat};
use image::{ImageError, ImageReader, Limits};
use kit::problem::{Kind, Problem};

use super::segments::scans;
use super::{Format, large, scaled};

/// Widths that images are shrunk to, in pixels: lists, phones, large screens. None is ever enlarged.
const WIDTHS: [u32; 3] = [320, 800, 1600];
/// Most pixels that are decoded. A progressive JPEG needs nine bytes for each meanwhile, and a pod has 256 MiB.
const MAX_PIXELS: u64 = 16_000_000;
/// Most pixels of a JPEG: beyond [`MAX_PIXELS`] it is shrunk while it is decoded. Phones take up to 50 million.
const MAX_PHOTOGRAPH: u64 = 60_000_000;
/// Longest side, in pixels. WebP ends at 16,383.
const MAX_SIDE: u32 = 12_000;
/// Most bytes of what was decoded: pixels of 16 bits a channel have up to eight.
const MAX_DECODED: u64 = 96 << 20;
/// Most bytes that a decoder may ask for in all.
const MAX_ALLOCATED: u64 = 128 << 20;
/// Most scans of a JPEG: each may take the time of the whole picture, and a file of 1 MiB can have thousands. It is what
/// zune-jpeg takes of progressive files (`DecoderOptions::jpeg_get_max_scans`); jpeg-decoder has no limit. Cameras and
/// programs write up to a dozen.
const MAX_SCANS: usize = 100;
/// Quality of JPEGs, from 1 to 100.
const QUALITY: u8 = 85;
/// Largest colour profile that is kept, in bytes; that of a common camera or screen has up to 4 KiB.
pub(super) const MAX_PROFILE: usize = 16 << 10;

/// The file is no image that the shop shows.
pub(crate) const REFUSED: Kind =
    Kind::new(422, "image-refused", "The file is no image that the shop can show");

/// An image, ready to be stored.
#[derive(Debug)]
pub struct Picture {
    /// Format of all its sizes.
    pub format: Format,
    /// Its sizes, the smallest first; the last is its own.
    pub sizes: Vec<Written>,
}

/// One size, as a file.
#[derive(Debug)]
pub struct Written {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It does not begin as a file of these formats does.
    #[error(
        "send the bytes of a JPEG, PNG or WebP file as the body; its name and type do not matter"
    )]
    Unknown,
    /// It has too many pixels.
    #[error(
        "{width} × {height} pixels are too many: up to 60 million in a JPEG, 16 million in other files, and 12,000 a side"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// It is progressive, and has too many pixels for that.
    #[error(
        "a progressive JPEG of so many pixels takes too much memory: send a smaller one, or a baseline JPEG"
    )]
    Progressive,
    /// It takes the decoder longer than any picture of its size.
    #[error(
        "a JPEG of more than {MAX_SCANS} scans takes too long: save it again with a common program"
    )]
    Scans,
    /// It moves.
    #[error("an animation is no image of a product: send a still one")]
    Animated,
    /// It cannot be decoded.
    #[error("the file is damaged, or uses a part of its format that is not known here")]
    Broken(#[source] ImageError),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(REFUSED, refusal.to_string())
    }
}

/// Makes of a file what the shop shows.
pub fn prepare(file: &[u8]) -> Result<Picture, Refusal> {
    let format = format_of(file).ok_or(Refusal::Unknown)?;
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(Refusal::Broken)?;
    // Nothing is decoded yet: only the header was read.
    let (width, height) = decoder.dimensions();
    let is_large = format == ImageFormat::Jpeg && check_size(width, height, MAX_PIXELS).is_err();
    check_size(width, height, if is_large { MAX_PHOTOGRAPH } else { MAX_PIXELS })?;
    if !is_large && decoder.total_bytes() > MAX_DECODED {
        return Err(Refusal::TooLarge { width, height });
    }
    match format {
        ImageFormat::WebP => check_webp(file)?,
        ImageFormat::Jpeg if scans(file) > MAX_SCANS => return Err(Refusal::Scans),
        _ => {}
    }
    let orientation = decoder.orientation().map_err(Refusal::Broken)?;
    let profile = decoder.icc_profile().unwrap_or_default().filter(|profile| is_kept(profile));
    let mut picture = if is_large {
        drop(decoder);
        let side = (WIDTHS[WIDTHS.len() - 1], is_turned(orientation));
        large::decode(file, (width, height), side, MAX_PIXELS)?
    } else {
        DynamicImage::from_decoder(decoder).map_err(Refusal::Broken)?
    };
    picture.apply_orientation(orientation);
    write(shrunk(Pixels::of(picture)), profile.as_deref())
}

/// The format of a file, by how it begins. Nobody's word is taken for it.
pub(super) fn format_of(file: &[u8]) -> Option<ImageFormat> {
    let is_webp = file.starts_with(b"RIFF") && file.get(8..12) == Some(b"WEBP");
    if file.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(ImageFormat::Jpeg)
    } else if file.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else {
        is_webp.then_some(ImageFormat::WebP)
    }
}

/// Whether what is from top to bottom in the file is from left to right when it is seen.
fn is_turned(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn check_size(width: u32, height: u32, most: u64) -> Result<(), Refusal> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > most || width.max(height) > MAX_SIDE {
        return Err(Refusal::TooLarge { width, height });
    }
    Ok(())
}

/// A WebP file may say that it is small and hold a large picture, which the decoder notices only when it has
/// decoded it. So every picture in the file is looked at (RFC 9649, sections 2.5 to 2.7).
fn check_webp(file: &[u8]) -> Result<(), Refusal> {
    const ANIMATION: u8 = 2;
    let mut rest = file.get(12..).unwrap_or_default();
    while let Some((head, body)) = rest.split_at_checked(8) {
        let word =
            |at: usize| body.get(at..at + 2).map_or(0, |b| u32::from(b[0]) | u32::from(b[1]) << 8);
        match &head[..4] {
            b"VP8X" if word(0) & u32::from(ANIMATION) != 0 => return Err(Refusal::Animated),
            b"VP8 " => check_size(word(6) & 0x3fff, word(8) & 0x3fff, MAX_PIXELS)?,
            b"VP8L" => {
                let bits = word(1) | word(3) << 16;
                check_size((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1, MAX_PIXELS)?;
            }
            _ => {}
        }
        let size = usize::try_from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        let size = size.unwrap_or(usize::MAX);
        rest = body.get(size.saturating_add(size & 1)..).unwrap_or_default();
    }
    Ok(())
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOCATED);
    limits
}

/// Colours look wrong without their profile, which says nothing of anybody. One that is for other
/// channels than red, green and blue means nothing any more.
fn is_kept(profile: &[u8]) -> bool {
    profile.len() <= MAX_PROFILE && profile.get(16..20) == Some(b"RGB ")
}

/// Decoded, eight bits a channel: red, green, blue, and how opaque where that matters.
struct Pixels {
    width: u32,
    height: u32,
    kind: PixelType,
    bytes: Vec<u8>,
}

impl Pixels {
    fn of(picture: DynamicImage) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let picture = if picture.color().has_alpha() {
            let pixels = picture.into_rgba8();
            if pixels.pixels().any(|pixel| pixel[3] != u8::MAX) {
                return Self { width, height, kind: PixelType::U8x4, bytes: pixels.into_raw() };
            }
            DynamicImage::from(pixels)
        } else {
            picture
        };
        Self { width, height, kind: PixelType::U8x3, bytes: picture.into_rgb8().into_raw() }
    }

    fn shrink(&self, width: u32) -> Self {
        let height = scaled(self.height, width, self.width);
        let source = RasterRef::new(self.width, self.height, &self.bytes, self.kind);
        let source = source.expect("there are as many bytes as pixels need");
        let mut target = Raster::new(width, height, self.kind);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3));
        let resized = Resizer::new().resize(&source, &mut target, &options);
        resized.expect("both have pixels of one kind");
        Self { width, height, kind: self.kind, bytes: target.into_vec() }
    }
}

/// The sizes of a picture, the smallest first. Each is made of the next larger one.
fn shrunk(whole: Pixels) -> Vec<Pixels> {
    let largest = WIDTHS[WIDTHS.len() - 1];
    let mut sizes = vec![if whole.width > largest { whole.shrink(largest) } else { whole }];
    for width in WIDTHS.into_iter().rev() {
        let smallest = &sizes[sizes.len() - 1];
        if width < smallest.width {
            let smaller = smallest.shrink(width);
            sizes.push(smaller);
        }
    }
    sizes.reverse();
    sizes
}

fn write(sizes: Vec<Pixels>, profile: Option<&[u8]>) -> Result<Picture, Refusal> {
    let opaque = sizes.iter().all(|size| size.kind == PixelType::U8x3);
    let format = if opaque { Format::Jpeg } else { Format::Webp };
    let encode = |size: Pixels| {
        let mut bytes = Vec::new();
        match format {
            Format::Jpeg => {
                let encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
                encode(encoder, &size, ExtendedColorType::Rgb8, profile)
            }
            Format::Webp => {
                let encoder = WebPEncoder::new_lossless(&mut bytes);
                encode(encoder, &size, ExtendedColorType::Rgba8, profile)
            }
        }
        .map_err(Refusal::Broken)?;
        Ok(Written { width: size.width, height: size.height, bytes })
    };
    let sizes = sizes.into_iter().map(encode).collect::<Result<_, _>>()?;
    Ok(Picture { format, sizes })
}

fn encode(
    mut encoder: impl ImageEncoder,
    size: &Pixels,
    kind: ExtendedColorType,
    profile: Option<&[u8]>,
) -> Result<(), ImageError> {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).map_err(ImageError::Unsupported)?;
    }
    encoder.write_image(&size.bytes, size.width, size.height, kind)
}
