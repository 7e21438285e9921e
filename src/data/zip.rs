//! Zip archives, as far as a folder of a few files needs them: written without compression (weights do not
//! shrink), read with or without.

use std::io::Read;

use super::error::{DataError, Result};

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
/// 1980-01-01, the first date a zip can say: archives of equal files are equal.
const DATE: u16 = 0x21;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// Files that are unpacked at most, against archives that are bombs.
const MOST: u64 = 2 << 30;

/// Whether bytes begin as a zip archive does.
pub fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// An archive of named files, stored as they are. Together they must be below 4 GiB.
///
/// # Errors
/// More than that.
pub fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let bad = |why: &str| error("the archive", why);
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, bytes) in files {
        let at = u32::try_from(out.len()).map_err(|_| bad("more than 4 GiB"))?;
        let size = u32::try_from(bytes.len()).map_err(|_| bad("more than 4 GiB"))?;
        let length = u16::try_from(name.len()).map_err(|_| bad("a name that is too long"))?;
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let common = |to: &mut Vec<u8>| {
            for v in [20, UTF8, 0, 0, DATE] {
                to.extend(v.to_le_bytes());
            }
            for v in [crc.sum(), size, size] {
                to.extend(v.to_le_bytes());
            }
            to.extend(length.to_le_bytes());
            to.extend(0u16.to_le_bytes());
        };
        out.extend(LOCAL.to_le_bytes());
        common(&mut out);
        out.extend(name.as_bytes());
        out.extend(bytes);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        common(&mut directory);
        // Comment, disk, attributes.
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = u32::try_from(out.len()).map_err(|_| bad("more than 4 GiB"))?;
    let count = u16::try_from(files.len()).map_err(|_| bad("too many files"))?;
    let size = u32::try_from(directory.len()).map_err(|_| bad("too many files"))?;
    out.extend(directory);
    out.extend(END.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0; 2]);
    Ok(out)
}

/// The files of an archive (`name` is for messages), with their paths; folders are left out.
///
/// # Errors
/// [`DataError::Tensors`] with what is wrong: cut short, encrypted, another compression than deflate, a
/// checksum that is not right.
pub fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let bad = |why: &str| error(name, why);
    let short = || bad("the archive is cut short or damaged");
    let u16_at = |at: usize| {
        let b = bytes.get(at..at + 2)?;
        Some(usize::from(u16::from_le_bytes([b[0], b[1]])))
    };
    let u32_at = |at: usize| {
        let b = bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    // The end record is the last thing but for a comment of at most 64 KiB.
    let last = bytes.len().checked_sub(22).ok_or_else(short)?;
    let end = (last.saturating_sub(1 << 16)..=last)
        .rev()
        .find(|at| u32_at(*at) == Some(END))
        .ok_or_else(short)?;
    let count = u16_at(end + 10).ok_or_else(short)?;
    let mut at = u32_at(end + 16).ok_or_else(short)? as usize;
    let mut files = Vec::new();
    let mut left = MOST;
    for _ in 0..count {
        if u32_at(at) != Some(CENTRAL) {
            return Err(short());
        }
        let flags = u16_at(at + 8).ok_or_else(short)?;
        let method = u16_at(at + 10).ok_or_else(short)?;
        let crc = u32_at(at + 16).ok_or_else(short)?;
        let packed = u32_at(at + 20).ok_or_else(short)? as usize;
        let size = u64::from(u32_at(at + 24).ok_or_else(short)?);
        let lengths = [28, 30, 32].map(|o| u16_at(at + o).unwrap_or(0));
        let local = u32_at(at + 42).ok_or_else(short)? as usize;
        let path = bytes.get(at + 46..at + 46 + lengths[0]).ok_or_else(short)?;
        let path = String::from_utf8_lossy(path).into_owned();
        at += 46 + lengths.iter().sum::<usize>();
        if path.ends_with('/') {
            continue;
        }
        if flags & 1 != 0 {
            return Err(bad(&format!("{path} is encrypted")));
        }
        left = left
            .checked_sub(size)
            .ok_or_else(|| bad("it unpacks to more than 2 GiB"))?;
        if u32_at(local) != Some(LOCAL) {
            return Err(short());
        }
        let skip = u16_at(local + 26)
            .zip(u16_at(local + 28))
            .ok_or_else(short)?;
        let from = local + 30 + skip.0 + skip.1;
        let data = bytes.get(from..from + packed).ok_or_else(short)?;
        let mut plain = Vec::new();
        match method {
            0 => plain.extend(data),
            8 => {
                let inflate = flate2::read::DeflateDecoder::new(data);
                inflate
                    .take(size + 1)
                    .read_to_end(&mut plain)
                    .map_err(|e| bad(&format!("{path}: {e}")))?;
            }
            other => {
                return Err(bad(&format!(
                    "{path} is packed by method {other}; use a plain zip"
                )));
            }
        }
        let mut sum = flate2::Crc::new();
        sum.update(&plain);
        if plain.len() as u64 != size || sum.sum() != crc {
            return Err(bad(&format!("{path} is damaged in the archive")));
        }
        files.push((path, plain));
    }
    Ok(files)
}

fn error(path: &str, why: &str) -> DataError {
    DataError::Tensors {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let files = vec![
            ("a/cfg.json".to_owned(), b"{}".to_vec()),
            ("a/ü.bin".to_owned(), (0..=255).cycle().take(5000).collect()),
            ("empty".to_owned(), Vec::new()),
        ];
        let packed = pack(&files).unwrap();
        assert!(is_zip(&packed));
        assert_eq!(unpack("t", &packed).unwrap(), files);
        assert_eq!(pack(&files).unwrap(), packed);

        let mut wrong = packed.clone();
        wrong[40] ^= 1;
        let e = unpack("t.zip", &wrong).unwrap_err().to_string();
        assert!(e.contains("t.zip: a/cfg.json is damaged"), "{e}");
        for cut in [0, 10, 60, packed.len() - 30] {
            assert!(unpack("t", &packed[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_others_pack_is_read() {
        // python3: zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED).writestr("d/x.txt", "ab" * 50)
        let mut deflated = Vec::new();
        let plain = "ab".repeat(50);
        flate2::read::DeflateEncoder::new(plain.as_bytes(), flate2::Compression::default())
            .read_to_end(&mut deflated)
            .unwrap();
        let stored = pack(&[("d/x.txt".to_owned(), plain.clone().into_bytes())]).unwrap();
        let mut bytes = stored[..30 + 7].to_vec();
        let n = deflated.len() as u32;
        bytes[8..10].copy_from_slice(&8u16.to_le_bytes());
        bytes[18..22].copy_from_slice(&n.to_le_bytes());
        bytes.extend(&deflated);
        let at = bytes.len() as u32;
        let mut tail = stored[30 + 7 + 100..].to_vec();
        tail[10..12].copy_from_slice(&8u16.to_le_bytes());
        tail[20..24].copy_from_slice(&n.to_le_bytes());
        let end = tail.len() - 22;
        tail[end + 16..end + 20].copy_from_slice(&at.to_le_bytes());
        bytes.extend(tail);
        assert_eq!(
            unpack("t", &bytes).unwrap(),
            [("d/x.txt".to_owned(), plain.into_bytes())]
        );
    }
}
