//! The marker segments of a JPEG (ITU-T T.81, B.1.1), found as its decoders find them: what stands between them is skipped,
//! and nothing counts after the end of the image, where phones put films.

const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// Each marker with what follows its length. It ends where a segment is cut off.
pub(super) fn segments(file: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = file.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        loop {
            let at = rest.iter().position(|byte| *byte == 0xff)?;
            let [marker, after @ ..] = &rest[at + 1..] else { return None };
            match *marker {
                // A fill byte: the marker may follow.
                0xff => rest = &rest[at + 1..],
                // A part of what was coded.
                0 => rest = after,
                marker if RESTART.contains(&marker) => rest = after,
                END => return None,
                marker => {
                    let length = u16::from_be_bytes([*after.first()?, *after.get(1)?]);
                    let (segment, next) = after.split_at_checked(length.into())?;
                    rest = next;
                    return Some((marker, segment.get(2..)?));
                }
            }
        }
    })
}

/// In how many scans the picture comes.
pub(super) fn scans(file: &[u8]) -> usize {
    segments(file).filter(|(marker, _)| *marker == SCAN).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_counted_as_decoders_find_them() {
        const START: [u8; 2] = [0xff, 0xd8];
        const SCAN: [u8; 9] = [0xff, 0xff, 0xda, 0, 4, 1, 2, 0x12, 0x34];
        let count = |parts: &[&[u8]]| scans(&[&START[..], &parts.concat()].concat());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[&SCAN, &[0xff, 0, 0xda, 0xff, 0xd3, 7], &SCAN]), 2);
        // A preview within a comment, and what follows the end.
        assert_eq!(count(&[&[0xff, 0xfe, 0, 11], &SCAN, &SCAN]), 1);
        assert_eq!(count(&[&SCAN, &[0xff, 0xd9], &SCAN]), 1);
        for broken in [&[0xff, 0xda][..], &[0xff, 0xda, 0], &[0xff, 0xda, 0, 1], &[0xff]] {
            assert_eq!(count(&[&SCAN, broken]), 1, "{broken:?}");
        }
        assert_eq!(scans(&[]), 0);
    }
}
