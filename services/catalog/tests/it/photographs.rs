//! Photographs as phones take them: 50 million pixels in 10 to 20 MB.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catalog::image::prepare;
use contracts::UserId;
use contracts::limits::MAX_IMAGE_BYTES;
use futures_util::{StreamExt as _, stream};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, Rgb, RgbImage};
use kit::auth::Role;
use kit::testing::{Running, eventually};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::images::{gallery, photograph, upload};
use crate::{add, answer, path};

type Upload = JoinHandle<reqwest::Result<reqwest::Response>>;

/// The file that a process is to prepare that was started for nothing else.
const FILE: &str = "TEST_PHOTOGRAPH";
/// Noise of a camera, in steps of 256.
const NOISE: u32 = 20;
/// Memory of a pod.
const POD_BYTES: usize = 256 << 20;

/// A baseline JPEG with a row of blocks over and over, each behind a restart marker (ITU-T T.81, E.1.4): a file of any
/// height without its pixels. What is seen is waves, and as much noise as cameras make.
fn tall_photograph(width: u16, height: u16) -> Vec<u8> {
    let mut random = 1_u32;
    let row = RgbImage::from_fn(width.into(), 8, |x, y| {
        let mut next = |colour: u32| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u8::try_from((random >> 8) % NOISE + (x / 64 + y + colour) % 128).unwrap()
        };
        Rgb([next(0), next(40), next(80)])
    });
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, 90);
    encoder.write_image(&row, width.into(), 8, ExtendedColorType::Rgb8).unwrap();
    let segment = |marker: u8| file.windows(2).position(|two| two == [0xff, marker]).unwrap();
    let (frame, scan) = (segment(0xc0), segment(0xda));
    let begin = scan + 2 + usize::from(u16::from_be_bytes([file[scan + 2], file[scan + 3]]));
    let (header, blocks) = (&file[..begin], &file[begin..file.len() - 2]);
    let mut header = header.to_vec();
    header[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    let blocks_across = (width / 8).to_be_bytes();
    header.splice(scan..scan, [0xff, 0xdd, 0, 4].into_iter().chain(blocks_across));
    for row in 0..height / 8 {
        if row > 0 {
            header.extend([0xff, 0xd0 + u8::try_from((row - 1) % 8).unwrap()]);
        }
        header.extend_from_slice(blocks);
    }
    header.extend([0xff, 0xd9]);
    header
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// What the memory of another process is at most when it prepares this file.
fn peak_of_preparing(file: &[u8]) -> usize {
    let folder = std::env::temp_dir().join(uuid::Uuid::now_v7().to_string());
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("photograph.jpg");
    std::fs::write(&path, file).unwrap();
    let own = std::env::current_exe().unwrap();
    let arguments = ["--exact", "photographs::the_largest_photograph_fits_a_pod", "--nocapture"];
    let output = Command::new(own).args(arguments).env(FILE, &path).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let peak = text.lines().find_map(|line| line.split_once("peak=")).unwrap().1;
    peak.trim().parse().unwrap()
}

fn print_peak_of_preparing(path: &Path) {
    let file = std::fs::read(path).unwrap();
    let picture = prepare(&file).unwrap();
    assert_eq!(picture.sizes.last().unwrap().width, 1600);
    println!("peak={}", peak());
}

/// Of the shape that takes the most memory, beside the file of the next upload.
#[test]
fn the_largest_photograph_fits_a_pod() {
    if let Some(path) = std::env::var_os(FILE) {
        return print_peak_of_preparing(path.as_ref());
    }
    let file = tall_photograph(5000, 12_000);
    assert!((15 << 20..MAX_IMAGE_BYTES).contains(&file.len()), "{} bytes", file.len());
    let peak = peak_of_preparing(&file) + MAX_IMAGE_BYTES;
    assert!(peak < POD_BYTES, "{peak} bytes");
}

/// What follows the end of a picture is not looked at: the size of the file alone matters here.
#[tokio::test]
async fn a_file_of_25_mebibytes_becomes_an_image() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let mut file = photograph(8, 8);
    file.resize(25 << 20, 0);
    let (status, image) = answer(upload(&shop, seller, &product, file)).await;
    assert_eq!((status.as_u16(), &image["width"]), (201, &json!(8)), "{image}");
}

/// More than sockets buffer of what is not read.
const READ: usize = 20 << 20;

/// A seller whose file comes up to so many bytes, and never ends.
async fn slow(shop: &Running, seller: UserId, sent: &Arc<AtomicUsize>) -> Upload {
    let product = add(shop, seller, json!({})).await;
    let sent = Arc::clone(sent);
    let parts = stream::iter(0..READ >> 16).map(move |_| {
        sent.fetch_add(1 << 16, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![0; 1 << 16])
    });
    let endless = reqwest::Body::wrap_stream(parts.chain(stream::pending()));
    let images = format!("{}/images", path(&product));
    tokio::spawn(shop.request_as(seller, &[Role::Seller], "POST", &images).body(endless).send())
}

async fn until_read(sent: &AtomicUsize, bytes: usize) {
    eventually("so much is read", async || (sent.load(Ordering::Relaxed) >= bytes).then_some(()))
        .await;
}

/// Files that come slowly take the memory of as many as there may be; the others wait.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_files_are_read_than_memory_has_room_for() {
    let (shop, seller) = (gallery().await, UserId::new());
    let product = add(&shop, seller, json!({})).await;
    let sent = Arc::default();
    let uploads =
        [slow(&shop, UserId::new(), &sent).await, slow(&shop, UserId::new(), &sent).await];
    until_read(&sent, 2 * READ).await;
    let mut next = tokio::spawn(upload(&shop, seller, &product, photograph(8, 8)).send());
    let early = timeout(Duration::from_millis(500), &mut next).await;
    // On a machine that is very slow their time has run out by then.
    assert!(early.is_err() || uploads.iter().any(Upload::is_finished), "a third is read");
    for upload in &uploads {
        upload.abort();
    }
    let answer = if let Ok(answer) = early { answer } else { next.await };
    assert_eq!(answer.unwrap().unwrap().status(), 201);
}

/// Its next upload waits for its own, not for others.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_does_not_keep_the_room_for_all_files() {
    let (shop, [slow_one, seller]) = (gallery().await, [UserId::new(), UserId::new()]);
    let product = add(&shop, seller, json!({})).await;
    let sent = Arc::default();
    let uploads = [slow(&shop, slow_one, &sent).await, slow(&shop, slow_one, &sent).await];
    until_read(&sent, READ).await;
    let answer = upload(&shop, seller, &product, photograph(8, 8)).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 2 * READ, "the second one was read meanwhile: {sent}");
    for upload in &uploads {
        upload.abort();
    }
}
