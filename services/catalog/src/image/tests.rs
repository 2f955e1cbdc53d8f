use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat};
use image::{Rgb, RgbImage, Rgba, RgbaImage};

use super::prepare::{MAX_PROFILE, format_of};
use super::*;

/// What a camera writes beside the picture.
const PLACE: &[u8] = b"51.5034 N 0.1276 W";

fn jpeg(picture: &RgbImage, profile: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 95);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec()).unwrap();
    }
    encoder
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .unwrap();
    bytes
}

fn plain(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, Rgb([200, 30, 30]))
}

/// The same JPEG with an EXIF segment: how the camera was held, and where.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif.extend(PLACE);
    let length = u16::try_from(exif.len() + 2).unwrap();
    [&jpeg[..2], &[0xff, 0xe1], &length.to_be_bytes(), &exif, &jpeg[2..]].concat()
}

/// As far as a PNG has to be read to know its size; nothing of the picture is there.
fn png_header(width: u32, height: u32, depth: u8, color: u8) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([depth, color, 0, 0, 0]);
    let sum = crc32(&header).to_be_bytes();
    [b"\x89PNG\r\n\x1a\n\0\0\0\x0d", &*header, &sum, b"\0\0\x10\0IDAT"].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum)))
}

fn decoded(written: &Written) -> DynamicImage {
    image::load_from_memory(&written.bytes).unwrap()
}

fn widths(picture: &Picture) -> Vec<(u32, u32)> {
    picture.sizes.iter().map(|size| (size.width, size.height)).collect()
}

#[test]
fn a_picture_is_shrunk_to_the_widths_of_pages_and_never_enlarged() {
    for (width, height, sizes) in [
        (2000, 1000, vec![(320, 160), (800, 400), (1600, 800)]),
        (1600, 1200, vec![(320, 240), (800, 600), (1600, 1200)]),
        (500, 700, vec![(320, 448), (500, 700)]),
        (320, 10, vec![(320, 10)]),
        (3, 2, vec![(3, 2)]),
        (4000, 1, vec![(320, 1), (800, 1), (1600, 1)]),
    ] {
        let picture = prepare(&jpeg(&plain(width, height), None)).unwrap();
        assert_eq!(widths(&picture), sizes, "{width} × {height}");
        for size in &picture.sizes {
            let there = decoded(size);
            assert_eq!((there.width(), there.height()), (size.width, size.height));
        }
    }
}

#[test]
fn what_is_opaque_becomes_jpeg_and_what_is_not_webp() {
    let png = |alpha| {
        let picture = RgbaImage::from_pixel(40, 30, Rgba([10, 200, 10, alpha]));
        let mut bytes = Vec::new();
        let encoder = PngEncoder::new(&mut bytes);
        encoder.write_image(&picture, 40, 30, ExtendedColorType::Rgba8).unwrap();
        bytes
    };
    let opaque = prepare(&png(255)).unwrap();
    assert_eq!(
        (opaque.format, format_of(&opaque.sizes[0].bytes)),
        (Format::Jpeg, Some(ImageFormat::Jpeg))
    );
    let clear = prepare(&png(100)).unwrap();
    assert_eq!(
        (clear.format, format_of(&clear.sizes[0].bytes)),
        (Format::Webp, Some(ImageFormat::WebP))
    );
    assert_eq!(decoded(&clear.sizes[0]).to_rgba8().get_pixel(20, 15), &Rgba([10, 200, 10, 100]));
    // What we write we take.
    assert_eq!(prepare(&clear.sizes[0].bytes).unwrap().format, Format::Webp);
}

#[test]
fn a_picture_stands_upright_and_says_nothing_of_where_it_was_taken() {
    // Red above blue, taken with the camera on its side.
    let lying =
        RgbImage::from_fn(64, 32, |x, _| if x < 32 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let file = with_exif(&jpeg(&lying, None), 6);
    assert!(file.windows(PLACE.len()).any(|part| part == PLACE));
    let picture = prepare(&file).unwrap();
    assert_eq!(widths(&picture), [(32, 64)]);
    let upright = decoded(&picture.sizes[0]).to_rgb8();
    let (above, below) = (upright.get_pixel(16, 8), upright.get_pixel(16, 56));
    assert!(above[0] > 200 && above[2] < 60, "{above:?}");
    assert!(below[2] > 200 && below[0] < 60, "{below:?}");
    let bytes = &picture.sizes[0].bytes;
    assert!(!bytes.windows(PLACE.len()).any(|part| part == PLACE));
    assert!(!bytes.windows(4).any(|part| part == b"Exif"));
}

#[test]
fn colours_keep_their_profile_unless_it_is_none() {
    let profile = |space: &[u8], length: usize| {
        let mut profile = vec![7; length];
        profile[16..20].copy_from_slice(space);
        profile
    };
    for (space, length, kept) in
        [(b"RGB ", 500, true), (b"RGB ", MAX_PROFILE + 1, false), (b"CMYK", 500, false)]
    {
        let profile = profile(space, length);
        let picture = prepare(&jpeg(&plain(400, 8), Some(&profile))).unwrap();
        for size in &picture.sizes {
            let there = size.bytes.windows(space.len()).any(|part| part == space);
            assert_eq!(there, kept, "{} {length}", String::from_utf8_lossy(space));
        }
    }
}

#[test]
fn the_content_of_a_file_says_what_it_is() {
    let files: [&[u8]; 6] = [
        b"",
        b"\xff\xd8",
        b"GIF89a\x01\0\x01\0",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF\0\0\0\0WAVE",
        b"%PDF-1.7",
    ];
    for file in files {
        assert!(matches!(prepare(file), Err(Refusal::Unknown)), "{file:?}");
    }
    let halves: [&[u8]; 3] = [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 "];
    for file in halves {
        assert!(matches!(prepare(file), Err(Refusal::Broken(_))), "{file:?}");
    }
    let mut cut = png_header(40, 30, 8, 2);
    cut.extend([0; 100]);
    assert!(matches!(prepare(&cut), Err(Refusal::Broken(_))));
}

#[test]
fn what_would_fill_the_memory_is_refused_before_it_is_decoded() {
    let refused = |file: &[u8], size| match prepare(file) {
        Err(Refusal::TooLarge { width, height }) => assert_eq!((width, height), size),
        other => panic!("{size:?}: {other:?}"),
    };
    // Nothing follows the headers: whoever went on to decode would find them broken.
    for (width, height) in [(1_000_000, 1_000_000), (4001, 4000), (12_001, 1), (1, 12_001)] {
        refused(&png_header(width, height, 8, 2), (width, height));
    }
    // Sixteen bits for each of four channels: few pixels, many bytes.
    refused(&png_header(4000, 3500, 16, 6), (4000, 3500));
    let mut jpeg = jpeg(&plain(16, 16), None);
    let frame = jpeg.windows(2).position(|part| part == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    refused(&jpeg, (65_535, 65_535));
    // 16383 pixels a side in 14 bits each, less one.
    refused(&webp(&[(b"VP8L", &[0x2f, 0xfe, 0xbf, 0xff, 0x0f])]), (16_383, 16_383));
}

/// A WebP file of these chunks.
fn webp(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, content) in chunks {
        body.extend(*name);
        body.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        body.extend(*content);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    let length = u32::try_from(body.len()).unwrap().to_le_bytes();
    [b"RIFF", &length[..], &body].concat()
}

#[test]
fn a_file_that_says_it_is_small_and_is_not_is_refused_before_it_is_decoded() {
    let canvas = |flags| [flags, 0, 0, 0, 9, 0, 0, 9, 0, 0];
    let frame = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f, 0, 0];
    let file = webp(&[(b"VP8X", &canvas(0)), (b"ICCP", b"odd"), (b"VP8 ", &frame)]);
    let refusal = prepare(&file).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge { width: 16_383, height: 16_383 }), "{refusal:?}");
    let moving = webp(&[(b"VP8X", &canvas(2)), (b"ANIM", &[0; 6]), (b"VP8 ", &frame)]);
    let refusal = prepare(&moving).unwrap_err();
    assert!(matches!(refusal, Refusal::Animated | Refusal::Broken(_)), "{refusal:?}");
}

#[test]
fn a_name_is_read_as_it_is_written() {
    let id = Uuid::now_v7();
    for (width, format) in [(320, Format::Jpeg), (1, Format::Webp)] {
        let name = Name { id, width, format };
        assert_eq!(Name::parse(&name.to_string()), Some(name));
    }
    let upper = format!("{id}A").to_uppercase();
    for bad in [
        "",
        "x",
        "-.jpg",
        "../secret",
        &format!("{id}-320"),
        &format!("{id}-320.png"),
        &format!("{id}-0320.jpg"),
        &format!("{id}-+320.jpg"),
        &format!("{upper}-320.jpg"),
        &format!("{id}-99999999999.jpg"),
        &format!("{}-320.jpg", id.simple()),
    ] {
        assert_eq!(Name::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_photograph_of_a_phone_is_shrunk_while_it_is_decoded() {
    // Red on the left, blue on the right.
    let row = [[255, 0, 0].repeat(2400), [0, 0, 255].repeat(2400)].concat();
    let photograph = RgbImage::from_raw(4800, 3600, row.repeat(3600)).unwrap();
    let file = jpeg(&photograph, None);
    let picture = prepare(&file).unwrap();
    assert_eq!(widths(&picture), [(320, 240), (800, 600), (1600, 1200)]);
    for size in &picture.sizes {
        let there = decoded(size).to_rgb8();
        let at = |x| there.get_pixel(x, 9);
        let (left, right) = (at(size.width / 4), at(size.width * 3 / 4));
        assert!(left[0] > 240 && left[2] < 15, "{left:?}");
        assert!(right[2] > 240 && right[0] < 15, "{right:?}");
    }
    let turned = prepare(&with_exif(&file, 6)).unwrap();
    assert_eq!(widths(&turned), [(320, 427), (800, 1067), (1600, 2133)]);

    let frame = file.windows(2).position(|part| part == [0xff, 0xc0]).unwrap();
    let of_size = |kind: u8, width: u16, height: u16| {
        // Cut off, too: a picture that ends in grey, or none.
        let mut file = file[..file.len() / 2].to_vec();
        file[frame + 1] = kind;
        file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
        file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
        prepare(&file)
    };
    // As large as any phone takes; progressive, when all of it would have to be kept; and larger.
    assert!(!matches!(of_size(0xc0, 8944, 6708), Err(Refusal::TooLarge { .. })));
    assert!(matches!(of_size(0xc2, 8944, 6708), Err(Refusal::Progressive)));
    let refusal = of_size(0xc0, 7936, 7680).unwrap_err();
    assert!(matches!(refusal, Refusal::TooLarge { width: 7936, height: 7680 }), "{refusal:?}");
}

/// A grey progressive JPEG that can be decoded: one scan of all brightness, then scans that refine nothing.
fn progressive(width: u16, height: u16, refinements: usize) -> Vec<u8> {
    // One code, of one bit: a difference of nothing, or that all further blocks are as they were.
    let table =
        |class: u8, symbol: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 15], &[symbol]].concat();
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    let mut file = [&[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
    file.extend([0xff, 0xc2, 0, 11, 8]);
    file.extend([height.to_be_bytes(), width.to_be_bytes()].concat());
    file.extend([1, 1, 0x11, 0]);
    file.extend([table(0x00, 0), table(0x10, 0)].concat());
    file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0]);
    file.resize(file.len() + blocks.div_ceil(8), 0);
    file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 1]);
    file.resize(file.len() + blocks.div_ceil(8), 0);
    for _ in 0..refinements {
        file.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0x10]);
        file.resize(file.len() + blocks.div_ceil(8), 0);
    }
    file.extend([0xff, 0xd9]);
    file
}

#[test]
fn a_jpeg_of_many_scans_is_refused_before_it_is_decoded() {
    // One size for each decoder: the small one is decoded whole.
    for (width, height) in [(4400, 3800), (64, 64)] {
        let picture = prepare(&progressive(width, height, 3)).unwrap();
        assert!(!picture.sizes.is_empty(), "{width} × {height}");
        let refusal = prepare(&progressive(width, height, 99)).unwrap_err();
        assert!(matches!(refusal, Refusal::Scans), "{width} × {height}: {refusal:?}");
    }
}
