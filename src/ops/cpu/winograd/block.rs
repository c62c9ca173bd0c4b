//! The tiles that are handled at a time, and the place of their numbers in matrices.

use super::points::{LANES, TILE};

/// A block of tiles: `rows` rows of tiles from row `from` on, of each of `images` images.
#[derive(Clone, Copy)]
pub struct Block {
    /// The images.
    pub images: usize,
    /// The first row of tiles.
    pub from: usize,
    /// The rows of tiles.
    pub rows: usize,
    /// The tiles of one row.
    pub across: usize,
}

impl Block {
    /// The tiles, row after row and image after image.
    pub fn tiles(&self) -> usize {
        self.images * self.rows * self.across
    }

    /// The tiles, rounded up to full vectors.
    pub fn pitch(&self) -> usize {
        self.tiles().next_multiple_of(LANES)
    }

    /// The pixels across a row of tiles.
    pub fn line(&self) -> usize {
        self.across * TILE
    }
}

/// The division of a batch into blocks, which depends on sizes alone: whole images, or bands of one image.
#[derive(Clone, Copy)]
pub struct Plan {
    /// The rows of tiles of an image, and the tiles of a row.
    tiles: (usize, usize),
    /// The images of a block.
    pub images: usize,
    rows: usize,
}

impl Plan {
    /// The plan of blocks of about `aim` tiles for images of a size.
    pub fn of(size: (usize, usize), aim: usize) -> Self {
        let tiles @ (down, across) = (size.0.div_ceil(TILE), size.1.div_ceil(TILE));
        Plan { tiles, images: (aim / (down * across)).max(1), rows: (aim / across).clamp(1, down) }
    }

    /// The same with whole images only.
    pub fn whole(self) -> Self {
        Plan { rows: self.tiles.0, ..self }
    }

    /// The tiles of so many images.
    pub fn tiles(&self, images: usize) -> usize {
        images * self.tiles.0 * self.tiles.1
    }

    /// The largest of the blocks.
    pub fn largest(&self) -> Block {
        Block { images: self.images, from: 0, rows: self.rows, across: self.tiles.1 }
    }

    /// The blocks of some images, no more than the plan has.
    pub fn blocks(self, images: usize) -> impl Iterator<Item = Block> {
        let (down, across) = self.tiles;
        (0..down).step_by(self.rows).map(move |from| Block { images, from, rows: self.rows.min(down - from), across })
    }
}

/// Matrices with a column for every tile of a block, one after the other.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The rows of a matrix.
    pub rows: usize,
    /// The columns of a matrix.
    pub pitch: usize,
}

impl Layout {
    /// The distance from one matrix to the next. They are set apart, since at a distance of a power of two all would
    /// compete for the same places in the cache.
    pub fn apart(&self) -> usize {
        self.rows * self.pitch + LANES
    }
}
