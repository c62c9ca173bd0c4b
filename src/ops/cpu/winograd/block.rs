//! The tiles that are handled at a time, and their way into the transformed domain and back.

use pulp::{Simd, WithSimd};

use super::tiles::{LANES, PATCH, TILE, patch, spread, tile, twice};
use crate::ops::cpu::raw::planes::{load, store};

/// A block of tiles: `rows` rows of tiles from row `from` on, of each of `images` images.
#[derive(Clone, Copy)]
pub struct Block {
    /// The size (H, W) of an image.
    pub size: (usize, usize),
    /// The images.
    pub images: usize,
    /// The first row of tiles.
    pub from: usize,
    /// The rows of tiles.
    pub rows: usize,
}

impl Block {
    /// The tiles of one row.
    pub fn across(&self) -> usize {
        self.size.1.div_ceil(TILE)
    }

    /// The tiles of one row in all images. The images run fastest, so that vectors are full where images are small.
    fn width(&self) -> usize {
        self.across() * self.images
    }

    /// The tiles of the block.
    fn tiles(&self) -> usize {
        self.rows * self.width()
    }

    /// The length of a row of transformed numbers: all tiles of the block, rounded up.
    pub fn pitch(&self) -> usize {
        self.tiles().next_multiple_of(LANES)
    }

    /// The distance from one of the 36 matrices of `rows` rows to the next. They are set apart, since at a distance of
    /// a power of two all would compete for the same places in the cache.
    pub fn apart(&self, rows: usize) -> usize {
        rows * self.pitch() + LANES
    }

    fn pixels(&self) -> usize {
        self.size.0 * self.size.1
    }

    /// The entries of a plane: the rows of pixels in the block with those of a border, one entry a tile across.
    fn sorted(&self) -> usize {
        ((self.rows * TILE + 2) * self.width()).next_multiple_of(LANES)
    }
}

/// What is read of images.
#[derive(Clone, Copy, PartialEq)]
pub enum Part {
    /// Each tile with a border of one pixel, Bᵀ d B: for the input of a convolution.
    Patches,
    /// The tiles alone, A g Aᵀ: for the gradient for its output.
    Tiles,
}

impl Part {
    /// The rows of pixels above and below the tiles.
    fn border(self) -> usize {
        usize::from(self == Part::Patches)
    }
}

/// The memory in which one channel is rearranged.
pub struct Scratch {
    /// The columns of pixels, sorted by their place in a patch: 6 planes.
    sorted: Vec<f32>,
    /// The rows of an image whose width is no multiple of the side of a tile, filled up with zeros.
    filled: Vec<f32>,
    /// The tiles of one channel of the output: 16 planes.
    tiles: Vec<f32>,
}

impl Scratch {
    /// The memory for blocks no larger than this one.
    pub fn new(largest: &Block) -> Self {
        let filled = if largest.size.1.is_multiple_of(TILE) { 0 } else { largest.sorted() * TILE };
        let zeros = |n: usize| vec![0.0; n];
        Scratch {
            sorted: zeros(PATCH * largest.sorted() + LANES),
            filled: zeros(filled),
            tiles: zeros(TILE * TILE * largest.pitch()),
        }
    }
}

/// The first N parts of `length` entries each.
#[inline(always)]
fn parts<const N: usize>(data: &mut [f32], length: usize) -> [&mut [f32]; N] {
    let mut parts = data.chunks_exact_mut(length.max(1));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The transform of the `channels` channels of the images x, to 36 matrices `[channels, tiles]`.
pub struct Read<'a> {
    /// The tiles.
    pub block: Block,
    /// What is read.
    pub part: Part,
    /// The channels of the images.
    pub channels: usize,
    /// The images.
    pub x: &'a [f32],
    /// The matrices.
    pub to: &'a mut [f32],
    /// Memory.
    pub scratch: &'a mut Scratch,
}

impl WithSimd for Read<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Read { block, part, channels, x, to, scratch: Scratch { sorted, filled, .. } } = self;
        let (plane, pitch, apart) = (block.sorted(), block.pitch(), block.apart(channels));
        let pixels = block.pixels();
        // In the order of the places that are written: see `down_columns`.
        for channel in 0..channels {
            for (image, x) in x.chunks_exact(channels * pixels).enumerate() {
                let x = x.get(channel * pixels..(channel + 1) * pixels).unwrap_or_default();
                block.sort(part, x, image, filled, parts::<PATCH>(sorted, plane));
            }
            if part == Part::Patches {
                block.border(parts::<PATCH>(sorted, plane));
            }
            along_rows(simd, part, parts::<PATCH>(sorted, plane));
            let to = to.get_mut(channel * pitch..).unwrap_or_default();
            match part {
                Part::Patches => {
                    block.down_columns(
                        simd,
                        sorted,
                        to,
                        apart,
                        #[inline(always)]
                        |simd, d| patch(simd, d),
                    );
                }
                Part::Tiles => {
                    block.down_columns(
                        simd,
                        sorted,
                        to,
                        apart,
                        #[inline(always)]
                        |simd, g| spread(simd, g),
                    );
                }
            }
        }
        // What lies behind the last tile must add nothing to a sum over tiles.
        if part == Part::Tiles && block.tiles() < pitch {
            for matrix in to.chunks_exact_mut(apart) {
                let rows = matrix.chunks_exact_mut(pitch).take(channels);
                rows.for_each(|row| row.get_mut(block.tiles()..).unwrap_or_default().fill(0.0));
            }
        }
    }
}

/// The transform of each row of pixels, in place.
#[inline(always)]
fn along_rows<S: Simd>(simd: S, part: Part, columns: [&mut [f32]; PATCH]) {
    let [a, b, c, d, e, f] = columns.map(|column| S::as_mut_simd_f32s(column).0);
    for (((((a, b), c), d), e), f) in a.iter_mut().zip(b).zip(c).zip(d).zip(e).zip(f) {
        [*a, *b, *c, *d, *e, *f] = match part {
            Part::Patches => patch(simd, [*a, *b, *c, *d, *e, *f]),
            Part::Tiles => spread(simd, [*b, *c, *d, *e]),
        };
    }
}

impl Block {
    /// Sorts the pixels of one channel of an image by columns: plane k from 1 to 4 holds column 4t + k - 1 for every
    /// tile t across, row after row from the border above the first tile on. What lies outside of the image is 0.
    #[inline(always)]
    fn sort(&self, part: Part, x: &[f32], image: usize, filled: &mut [f32], columns: [&mut [f32]; PATCH]) {
        let ((height, width), step) = (self.size, self.width());
        // Row r of the planes is row top + r of the image grown by its border.
        let (border, top) = (part.border(), self.from * TILE);
        let (first, last) = (top.saturating_sub(border), (top + self.rows * TILE + border).min(height));
        let (above, inside) = ((first + border - top) * step, (last - first) * step);
        let rows = x.get(first * width..last * width).unwrap_or_default();
        let rows = if width.is_multiple_of(TILE) { rows } else { self.fill(rows, filled) };
        let pixels = rows.as_chunks::<TILE>().0.iter();
        let [_, a, b, c, d, _] = columns;
        let mut planes = [a, b, c, d];
        for plane in &mut planes {
            plane.get_mut(..above).unwrap_or_default().fill(0.0);
            plane.get_mut(above + inside..).unwrap_or_default().fill(0.0);
        }
        let [p, q, r, s] = planes.map(|plane| plane.get_mut(above + image..above + inside).unwrap_or_default());
        if self.images == 1 {
            for ((((&pixels, p), q), r), s) in pixels.zip(p).zip(q).zip(r).zip(s) {
                [*p, *q, *r, *s] = pixels;
            }
        } else {
            let [p, q, r, s] = [p, q, r, s].map(|plane| plane.iter_mut().step_by(self.images));
            for ((((&pixels, p), q), r), s) in pixels.zip(p).zip(q).zip(r).zip(s) {
                [*p, *q, *r, *s] = pixels;
            }
        }
    }

    /// The planes of the columns left and right of each tile, 0 and 5: those of its neighbours, or 0 at the border.
    #[inline(always)]
    fn border(&self, [left, first, _, _, last, right]: [&mut [f32]; PATCH]) {
        let (images, width) = (self.images, self.width());
        if let (Some((_, to)), Some(from)) = (left.split_at_mut_checked(images), last.get(..last.len() - images)) {
            to.copy_from_slice(from);
        }
        left.chunks_mut(width).for_each(|row| row.iter_mut().take(images).for_each(|pixel| *pixel = 0.0));
        if let (Some(to), Some(from)) = (right.get_mut(..first.len() - images), first.get(images..)) {
            to.copy_from_slice(from);
        }
        right.chunks_mut(width).for_each(|row| row.iter_mut().skip(width - images).for_each(|pixel| *pixel = 0.0));
    }

    /// The rows filled up with zeros to a multiple of the side of a tile.
    fn fill<'a>(&self, rows: &[f32], filled: &'a mut [f32]) -> &'a [f32] {
        let (width, wide) = (self.size.1, self.across() * TILE);
        for (to, from) in filled.chunks_exact_mut(wide).zip(rows.chunks_exact(width)) {
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
        filled.get(..rows.len() / width * wide).unwrap_or_default()
    }

    /// The transform f of the columns of one channel, to its place in the 36 matrices. Whole vectors are read
    /// and written, also where a row of tiles is shorter: what is behind its end is written later, or never read.
    #[inline(always)]
    fn down_columns<S: Simd, const N: usize>(
        &self,
        simd: S,
        rows: &[f32],
        to: &mut [f32],
        apart: usize,
        f: impl Fn(S, [S::f32s; N]) -> [S::f32s; PATCH],
    ) {
        let (width, plane) = (self.width(), self.sorted());
        for j in 0..PATCH {
            for row in 0..self.rows {
                for from in (0..width).step_by(S::F32_LANES) {
                    let begin = j * plane + row * TILE * width + from;
                    let d = load::<S, N>(simd, rows, begin, width).unwrap_or([simd.splat_f32s(0.0); N]);
                    let at = j * apart + row * width + from;
                    store::<S, PATCH>(to, at, PATCH * apart, f(simd, d));
                }
            }
        }
    }
}

/// The transform Aᵀ m A of 36 matrices `[outputs, tiles]`, to the pixels of the images y.
pub struct Write<'a> {
    /// The tiles.
    pub block: Block,
    /// The channels of the images.
    pub outputs: usize,
    /// The matrices.
    pub from: &'a [f32],
    /// What is added to each channel of so many images.
    pub bias: Option<(&'a [f32], usize)>,
    /// The images.
    pub y: &'a mut [f32],
    /// Memory.
    pub scratch: &'a mut Scratch,
}

impl WithSimd for Write<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Write { block, outputs, from, bias, y, scratch: Scratch { tiles, .. } } = self;
        let (pitch, pixels) = (block.pitch(), block.pixels());
        for output in 0..outputs {
            let products = from.get(output * pitch..).unwrap_or_default();
            block.finish(simd, products, block.apart(outputs), tiles);
            for (image, y) in y.chunks_exact_mut(outputs * pixels).enumerate() {
                let y = y.get_mut(output * pixels..(output + 1) * pixels).unwrap_or_default();
                let bias = bias.filter(|(_, images)| image < *images).and_then(|(b, _)| b.get(output));
                block.place(tiles, image, bias.copied().unwrap_or_default(), y);
            }
        }
    }
}

impl Block {
    /// The 16 pixels of each tile of one channel, to 16 planes.
    #[inline(always)]
    fn finish<S: Simd>(&self, simd: S, products: &[f32], apart: usize, tiles: &mut [f32]) {
        let (zero, pitch) = (simd.splat_f32s(0.0), self.pitch());
        for at in (0..pitch).step_by(S::F32_LANES) {
            twice(
                simd,
                #[inline(always)]
                |simd, m| tile(simd, m),
                #[inline(always)]
                |i| load::<S, PATCH>(simd, products, i * PATCH * apart + at, apart).unwrap_or([zero; PATCH]),
                #[inline(always)]
                |j, column| {
                    store::<S, TILE>(tiles, j * pitch + at, TILE * pitch, column);
                },
            );
        }
    }

    /// Writes the tiles of one image out of 16 planes to their places, plus a number.
    #[inline(always)]
    fn place(&self, tiles: &[f32], image: usize, plus: f32, y: &mut [f32]) {
        let (images, width, pitch) = (self.images, self.width(), self.pitch());
        let rows = y.chunks_exact_mut(self.size.1).skip(self.from * TILE).take(self.rows * TILE);
        for (r, row) in rows.enumerate() {
            let begin = r % TILE * TILE * pitch + r / TILE * width + image;
            let end = begin - image + width;
            let [a, b, c, d] = [0, 1, 2, 3].map(|j| tiles.get(begin + j * pitch..end + j * pitch).unwrap_or_default());
            let last = [a, b, c, d].map(|plane| plane.get(width - images).copied().unwrap_or_default());
            let (whole, rest) = row.as_chunks_mut::<TILE>();
            rest.iter_mut().zip(last).for_each(|(to, pixel)| *to = pixel + plus);
            if images == 1 {
                for ((((to, &a), &b), &c), &d) in whole.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *to = [a + plus, b + plus, c + plus, d + plus];
                }
            } else {
                let [a, b, c, d] = [a, b, c, d].map(|plane| plane.iter().step_by(images));
                for ((((to, &a), &b), &c), &d) in whole.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *to = [a + plus, b + plus, c + plus, d + plus];
                }
            }
        }
    }
}
