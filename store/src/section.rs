//! Checked views of file bytes: the only way that codes, domains and indexes read.
//!
//! A [`Section`] is a range of a mapped file (or of memory). Every access is bounds-checked, and on a file every
//! 64 KiB page is compared with its crc32 the first time it is touched. A checksum is no defence against someone who
//! computes it, so readers still treat each number they read as a claim.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};
use crate::rows::index;

/// Bytes covered by one checksum.
pub const PAGE_BYTES: u64 = 64 * 1024;

/// Bytes of a whole file, shared.
pub type FileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A file's bytes with the checksums of its pages.
pub struct Pages {
    name: String,
    bytes: FileBytes,
    /// crc32 of each page of `covered`; empty when nothing is to be checked.
    crcs: Vec<u32>,
    covered: u64,
    verified: Vec<AtomicU64>,
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pages({}, {} bytes)", self.name, (*self.bytes).as_ref().len())
    }
}

impl Pages {
    /// Bytes of file `name`, of which the first `covered` are checked page by page against `crcs`.
    ///
    /// # Errors
    /// `Corrupt` if the number of checksums does not fit the number of bytes.
    pub fn new(name: String, bytes: FileBytes, covered: u64, crcs: Vec<u32>) -> Result<Arc<Self>> {
        let len = (*bytes).as_ref().len() as u64;
        if covered > len || crcs.len() as u64 != covered.div_ceil(PAGE_BYTES) {
            return Err(Error::corrupt(
                name,
                "footer",
                0,
                "page checksums do not cover the file",
            ));
        }
        let verified = (0..crcs.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Arc::new(Pages {
            name,
            bytes,
            crcs,
            covered,
            verified,
        }))
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The section at `range`, called `what` in errors.
    ///
    /// # Errors
    /// `Corrupt` if the range does not lie in the checked bytes.
    pub fn section(self: &Arc<Self>, range: Range<u64>, what: impl Into<Arc<str>>) -> Result<Section> {
        let what = what.into();
        if range.start > range.end || range.end > self.covered {
            return Err(Error::corrupt(
                self.name.clone(),
                &*what,
                range.start,
                format!("the section ends at byte {} of {}", range.end, self.covered),
            ));
        }
        Ok(Section {
            pages: Arc::clone(self),
            start: range.start,
            len: range.end - range.start,
            what,
        })
    }

    /// Pages that were touched and found sound so far.
    pub fn touched(&self) -> u64 {
        let words = self.verified.iter();
        words
            .map(|word| u64::from(word.load(Ordering::Relaxed).count_ones()))
            .sum()
    }

    /// Compares all pages with their checksums, whether touched before or not, and names the damaged ones.
    pub fn scrub(&self) -> Vec<Error> {
        (0..self.crcs.len())
            .filter_map(|page| self.verify(page).err())
            .collect()
    }

    /// Compares the pages that nobody has touched yet with their checksums.
    ///
    /// # Errors
    /// `Corrupt` for the first that does not fit.
    pub fn check(&self) -> Result<()> {
        self.touch(0..self.covered)
    }

    #[inline]
    fn touch(&self, range: Range<u64>) -> Result<()> {
        if self.crcs.is_empty() || range.start >= range.end {
            return Ok(());
        }
        let mut page = index(range.start / PAGE_BYTES);
        let last = index((range.end - 1) / PAGE_BYTES);
        while page <= last {
            let seen = self
                .verified
                .get(page / 64)
                .is_some_and(|w| w.load(Ordering::Relaxed) >> (page % 64) & 1 == 1);
            if !seen {
                self.verify(page)?;
            }
            page += 1;
        }
        Ok(())
    }

    #[cold]
    fn verify(&self, page: usize) -> Result<()> {
        let start = page as u64 * PAGE_BYTES;
        let end = (start + PAGE_BYTES).min(self.covered);
        let bytes = (*self.bytes).as_ref().get(index(start)..index(end));
        let (Some(bytes), Some(&want)) = (bytes, self.crcs.get(page)) else {
            return Err(Error::corrupt(
                self.name.clone(),
                "page",
                start,
                "the page lies outside the file",
            ));
        };
        let found = crc32fast::hash(bytes);
        if found != want {
            return Err(Error::corrupt(
                self.name.clone(),
                format!("page {page}"),
                start,
                format!("checksum {found:08x} instead of {want:08x}"),
            ));
        }
        self.verified[page / 64].fetch_or(1 << (page % 64), Ordering::Relaxed);
        Ok(())
    }
}

/// A checked range of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Section {
    pages: Arc<Pages>,
    start: u64,
    len: u64,
    what: Arc<str>,
}

impl Section {
    /// A section over memory, without checksums.
    pub fn from_vec(bytes: Vec<u8>) -> Section {
        let len = bytes.len() as u64;
        let pages = Pages {
            name: "memory".into(),
            bytes: Arc::new(bytes),
            crcs: Vec::new(),
            covered: len,
            verified: Vec::new(),
        };
        Section {
            pages: Arc::new(pages),
            start: 0,
            len,
            what: "buffer".into(),
        }
    }

    /// Bytes in the section.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the section has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes at `range` of the section, verified.
    ///
    /// # Errors
    /// `Corrupt` if the range leaves the section or a page fails its checksum.
    #[inline]
    pub fn bytes(&self, range: Range<u64>) -> Result<&[u8]> {
        if range.start > range.end || range.end > self.len {
            return Err(self.corrupt(
                range.start,
                format!(
                    "bytes {}..{} lie outside a section of {} bytes",
                    range.start, range.end, self.len
                ),
            ));
        }
        let (start, end) = (self.start + range.start, self.start + range.end);
        self.pages.touch(start..end)?;
        (*self.pages.bytes)
            .as_ref()
            .get(index(start)..index(end))
            .ok_or_else(|| self.corrupt(range.start, "the file became shorter".into()))
    }

    /// All bytes, verified.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    pub fn all(&self) -> Result<&[u8]> {
        self.bytes(0..self.len)
    }

    /// `N` bytes at `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline]
    pub fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(offset..offset.saturating_add(N as u64))?);
        Ok(out)
    }

    /// Little-endian u64 at byte `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline]
    pub fn u64(&self, offset: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(offset)?))
    }

    /// Little-endian u32 at byte `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline]
    pub fn u32(&self, offset: u64) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(offset)?))
    }

    /// Little-endian u16 at byte `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline]
    pub fn u16(&self, offset: u64) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array(offset)?))
    }

    /// Byte at `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline]
    pub fn u8(&self, offset: u64) -> Result<u8> {
        Ok(self.array::<1>(offset)?[0])
    }

    /// The section with its bytes looked up once, for questions that read many small pieces.
    #[allow(clippy::cast_possible_truncation, reason = "a section lies in mapped bytes")]
    pub fn view(&self) -> View<'_> {
        let bytes = (*self.pages.bytes)
            .as_ref()
            .get(self.start as usize..(self.start + self.len) as usize)
            .unwrap_or_default();
        let verified = if self.pages.crcs.is_empty() || self.is_sound() {
            None
        } else {
            Some(self.pages.verified.as_slice())
        };
        View {
            section: self,
            bytes,
            start: self.start,
            verified,
        }
    }

    /// Whether all pages were seen to be sound; found out for sections of up to 16 MiB, so that asking costs little.
    #[inline]
    fn is_sound(&self) -> bool {
        if self.len == 0 {
            return true;
        }
        let (first, last) = (self.start / PAGE_BYTES, (self.start + self.len - 1) / PAGE_BYTES);
        if last - first >= 256 {
            return false;
        }
        (first / 64..=last / 64).all(|at| {
            let from = u64::MAX << first.saturating_sub(at * 64);
            let to = u64::MAX >> (63 - (last - at * 64).min(63));
            let seen = self
                .pages
                .verified
                .get(index(at))
                .map_or(0, |word| word.load(Ordering::Relaxed));
            !seen & from & to == 0
        })
    }

    /// A part of this section.
    ///
    /// # Errors
    /// `Corrupt` if it leaves this section.
    pub fn sub(&self, range: Range<u64>) -> Result<Section> {
        if range.start > range.end || range.end > self.len {
            return Err(self.corrupt(
                range.start,
                format!("a part ends at byte {} of {}", range.end, self.len),
            ));
        }
        Ok(Section {
            pages: Arc::clone(&self.pages),
            start: self.start + range.start,
            len: range.end - range.start,
            what: Arc::clone(&self.what),
        })
    }

    /// The section as shared bytes for sucds' zero-copy loading, verified whole.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    pub fn shared(&self) -> Result<bytes::Bytes> {
        self.all()?;
        struct Owner(Section);
        impl AsRef<[u8]> for Owner {
            fn as_ref(&self) -> &[u8] {
                self.0.all().unwrap_or_default()
            }
        }
        Ok(bytes::Bytes::from_owner(Owner(self.clone())))
    }

    /// A [`Error::Corrupt`] that names this section.
    #[cold]
    pub fn corrupt(&self, offset: u64, what: String) -> Error {
        Error::corrupt(self.pages.name.clone(), &*self.what, offset, what)
    }
}

/// A [`Section`] whose bytes were looked up once; reads are bounds-checked and verified all the same.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    section: &'a Section,
    bytes: &'a [u8],
    start: u64,
    /// One bit a page that was seen to be sound; `None` where nothing is to be checked.
    verified: Option<&'a [AtomicU64]>,
}

impl<'a> View<'a> {
    /// Bytes in the section.
    #[inline]
    pub fn len(&self) -> u64 {
        self.section.len
    }

    /// Whether the section has no bytes.
    pub fn is_empty(&self) -> bool {
        self.section.len == 0
    }

    /// `len` bytes at `offset`, verified.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline(always)]
    pub fn bytes(&self, offset: u64, len: usize) -> Result<&'a [u8]> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|at| self.bytes.get(at..))
            .and_then(|b| b.get(..len));
        let Some(found) = found else {
            return Err(self.outside(offset, len));
        };
        if let Some(verified) = self.verified {
            let start = self.start + offset;
            let end = start + len as u64;
            let seen = |page: u64| {
                let word = verified
                    .get((page / 64) as usize)
                    .map_or(0, |word| word.load(Ordering::Relaxed));
                word >> (page % 64) & 1 == 1
            };
            // Short reads touch one page, or two; the rest is for the loop.
            let (first, last) = (start / PAGE_BYTES, end.saturating_sub(1) / PAGE_BYTES);
            if last > first + 1 || !seen(first) || !seen(last) {
                self.section.pages.touch(start..end)?;
            }
        }
        Ok(found)
    }

    /// Where byte `offset` is, to be asked for before it is needed; what stands there is not verified.
    #[inline(always)]
    pub(crate) fn place(&self, offset: u64) -> Option<&'a u8> {
        self.bytes.get(usize::try_from(offset).ok()?)
    }

    /// `N` bytes at `offset`, verified.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline(always)]
    pub fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(offset, N)?);
        Ok(out)
    }

    /// Little-endian u64 at byte `offset`.
    ///
    /// # Errors
    /// See [`Section::bytes`].
    #[inline(always)]
    pub fn u64(&self, offset: u64) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(offset)?))
    }

    /// A [`Error::Corrupt`] that names the section.
    #[cold]
    pub fn corrupt(&self, offset: u64, what: String) -> Error {
        self.section.corrupt(offset, what)
    }

    #[cold]
    fn outside(&self, offset: u64, len: usize) -> Error {
        let end = offset.saturating_add(len as u64);
        self.section.corrupt(
            offset,
            format!(
                "bytes {offset}..{end} lie outside a section of {} bytes",
                self.section.len
            ),
        )
    }
}
