//! Photographs of more pixels than fit the memory: JPEGs that are shrunk while they are decoded, to a half, a quarter or
//! an eighth of each side, without ever being there in full.

use image::error::{DecodingError, ImageFormatHint};
use image::{DynamicImage, GrayImage, ImageError, ImageFormat, RgbImage};
use jpeg_decoder::{CodingProcess, Decoder, PixelFormat};

use super::Refusal;
use super::segments::segments;

/// Most bytes that a progressive JPEG may need while it is decoded, beside what comes out. All of its coefficients, of two
/// bytes each, are kept until the last scan, and those of the largest component once more when they are transformed.
const MAX_COEFFICIENT_BYTES: u64 = 144 << 20;
/// Sides are shrunk to so many eighths.
const EIGHTHS: [u32; 4] = [1, 2, 4, 8];

/// Decodes a JPEG of these dimensions to no fewer pixels than `side` from left to right (from top to bottom if it is to be
/// turned), if that takes no more than `most` pixels; otherwise to as many as it may.
pub(super) fn decode(
    file: &[u8],
    (width, height): (u32, u32),
    (side, turned): (u32, bool),
    most: u64,
) -> Result<DynamicImage, Refusal> {
    let mut decoder = Decoder::new(file);
    decoder.read_info().map_err(broken)?;
    let info = decoder.info().ok_or_else(|| broken(unknown("no frame")))?;
    // Two decoders read the header; a file on which they disagree is for neither.
    if (u32::from(info.width), u32::from(info.height)) != (width, height) {
        return Err(broken(unknown("two frames")));
    }
    match info.coding_process {
        CodingProcess::DctSequential => {}
        CodingProcess::DctProgressive if coefficient_bytes(file) <= MAX_COEFFICIENT_BYTES => {}
        CodingProcess::DctProgressive => return Err(Refusal::Progressive),
        CodingProcess::Lossless => return Err(broken(unknown("a lossless JPEG"))),
    }
    let eighths = eighths((width, height), (side, turned), most);
    // The decoder takes the smallest scale that reaches either side: the height is never reached.
    let wanted = u16::try_from(shrunk(width, eighths)).unwrap_or(u16::MAX);
    let (width, height) = decoder.scale(wanted, u16::MAX).map_err(broken)?;
    let pixels = decoder.decode().map_err(broken)?;
    let (width, height) = (width.into(), height.into());
    let picture = match info.pixel_format {
        PixelFormat::RGB24 => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::L8 => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        PixelFormat::CMYK32 | PixelFormat::L16 => None,
    };
    picture.ok_or_else(|| broken(unknown("colours other than grey, or red, green and blue")))
}

fn eighths((width, height): (u32, u32), (side, turned): (u32, bool), most: u64) -> u32 {
    let across = if turned { height } else { width };
    let fits = |eighths: &u32| {
        u64::from(shrunk(width, *eighths)) * u64::from(shrunk(height, *eighths)) <= most
    };
    let largest = EIGHTHS.into_iter().rev().find(fits).unwrap_or(1);
    let enough = EIGHTHS.into_iter().find(|eighths| shrunk(across, *eighths) >= side);
    enough.unwrap_or(8).min(largest)
}

fn shrunk(length: u32, eighths: u32) -> u32 {
    (length * eighths).div_ceil(8)
}

/// What the coefficients of a JPEG take at the most, by its frame header (ITU-T T.81, B.2.2); the maximum when there is
/// none that can be read.
fn coefficient_bytes(file: &[u8]) -> u64 {
    frame_header(file).and_then(samples).map_or(u64::MAX, |(all, largest)| 2 * (all + largest))
}

/// The parameters of the frame.
fn frame_header(file: &[u8]) -> Option<&[u8]> {
    let frame = segments(file).find(|(marker, _)| matches!(marker, 0xc0..=0xc2));
    frame.map(|(_, parameters)| parameters)
}

/// Samples of all components, in whole blocks, and those of the largest one.
fn samples(frame: &[u8]) -> Option<(u64, u64)> {
    let [_, y1, y2, x1, x2, count, components @ ..] = frame else { return None };
    let (width, height) = (u16::from_be_bytes([*x1, *x2]), u16::from_be_bytes([*y1, *y2]));
    let components = components.chunks_exact(3).take((*count).into());
    let factors: Vec<(u64, u64)> = components
        .map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15)))
        .collect();
    if factors.iter().any(|(across, down)| across * down == 0) {
        return None;
    }
    let across = factors.iter().map(|(across, _)| *across).max()?;
    let down = factors.iter().map(|(_, down)| *down).max()?;
    let units = u64::from(width).div_ceil(8 * across) * u64::from(height).div_ceil(8 * down);
    let each = factors.iter().map(|(across, down)| units * across * down * 64);
    Some((each.clone().sum(), each.max()?))
}

fn unknown(what: &str) -> jpeg_decoder::Error {
    jpeg_decoder::Error::Format(what.to_owned())
}

fn broken(error: jpeg_decoder::Error) -> Refusal {
    let format = ImageFormatHint::Exact(ImageFormat::Jpeg);
    Refusal::Broken(ImageError::Decoding(DecodingError::new(format, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_shrunk_as_far_as_pages_allow_and_memory_demands() {
        let most = 16_000_000;
        for (size, turned, expected) in [
            ((8944, 6708), false, 2), // 2236 × 1677
            ((8944, 6708), true, 2),  // 1677 from left to right
            ((12_000, 5000), false, 2),
            ((5000, 12_000), false, 4), // 2500 × 6000
            ((3000, 12_000), false, 4), // 1500: all of it would be 36 million
            ((1400, 12_000), false, 4),
            ((4001, 4000), false, 4),
        ] {
            assert_eq!(eighths(size, (1600, turned), most), expected, "{size:?} {turned}");
        }
    }

    #[test]
    fn coefficients_are_counted_by_the_frame_header() {
        let file = |sampling: u8| {
            let mut file = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, 0xc2, 0, 17, 8];
            file.extend([0x0f, 0xa0, 0x17, 0x70, 3, 1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1]);
            file
        };
        let pixels = 4000 * 6000;
        assert_eq!(coefficient_bytes(&file(0x11)), pixels * 8);
        assert_eq!(coefficient_bytes(&file(0x22)), pixels * 5);
        for broken in [&file(0x22)[..20], &file(0), &[0xff, 0xd8], &[], &[0xff; 40]] {
            assert_eq!(coefficient_bytes(broken), u64::MAX);
        }
    }
}
