//! `mandelbrot`: one tile of a picture of the Mandelbrot set.

use super::json::Input;
use crate::context::{Context, JobError};
use crate::value::Value;

const TAKES: &str = "{ width, height, x, y, w, h: pixels; centerX, centerY, scale: the view's \
                     middle and height in the complex plane; maxIterations }";

#[derive(Clone, Copy)]
struct Tile {
    /// The whole picture, in pixels.
    width: u32,
    height: u32,
    /// The tile's rectangle in the picture, in pixels.
    x: u32,
    y: u32,
    w: u32,
    h: u32,
    center_x: f64,
    center_y: f64,
    /// The height of the picture in the complex plane.
    scale: f64,
    max_iterations: u32,
}

/// The tile's pixels as RGBA, row by row.
pub fn mandelbrot<'a>(input: &'a Value<'a>, context: &Context<'_>) -> Result<Value<'a>, JobError> {
    let tile = Tile::read(&Input::read(input, TAKES)?)?;
    Ok(Value::bytes(tile.draw(context)?))
}

/// Iterations between two looks at the cancellation: about a millisecond.
const CHECK: u32 = 250_000;

impl Tile {
    fn read(input: &Input) -> Result<Self, JobError> {
        Ok(Self {
            width: input.whole("width")?,
            height: input.whole("height")?,
            x: input.whole("x")?,
            y: input.whole("y")?,
            w: input.whole("w")?,
            h: input.whole("h")?,
            center_x: input.number("centerX")?,
            center_y: input.number("centerY")?,
            scale: input.number("scale")?,
            max_iterations: input.whole("maxIterations")?,
        })
    }

    fn draw(&self, context: &Context<'_>) -> Result<Vec<u8>, JobError> {
        self.check()?;
        let size = self.w as usize * self.h as usize * 4;
        let mut pixels = Vec::new();
        pixels
            .try_reserve_exact(size)
            .map_err(|_| JobError::out_of_memory(size))?;
        let step = self.scale / f64::from(self.height);
        let left = self.center_x - step * f64::from(self.width) / 2.0;
        let top = self.center_y - step * f64::from(self.height) / 2.0;
        let mut until_check = CHECK;
        for y in self.y..self.y + self.h {
            for x in self.x..self.x + self.w {
                let iterations = escape_time(
                    left + step * (f64::from(x) + 0.5),
                    top + step * (f64::from(y) + 0.5),
                    self.max_iterations,
                );
                pixels.extend_from_slice(&colour(iterations, self.max_iterations));
                let spent = iterations.0 + 1;
                if spent < until_check {
                    until_check -= spent;
                } else {
                    until_check = CHECK;
                    if context.cancelled() {
                        return Err(JobError::cancelled());
                    }
                    context.progress(pixels.len() as f64 / 4.0, size as f64 / 4.0);
                }
            }
        }
        Ok(pixels)
    }

    fn check(&self) -> Result<(), JobError> {
        let sides = 1..=16_384;
        let inside = |at: u32, length: u32, whole: u32| {
            length >= 1 && at.checked_add(length).is_some_and(|end| end <= whole)
        };
        let problem = if !sides.contains(&self.width) || !sides.contains(&self.height) {
            "width and height must be from 1 to 16384"
        } else if !inside(self.x, self.w, self.width) || !inside(self.y, self.h, self.height) {
            "the tile must lie inside the picture"
        } else if !(1..=CHECK).contains(&self.max_iterations) {
            "maxIterations must be from 1 to 250000"
        } else if !(self.scale > 0.0 && (self.scale + self.center_x + self.center_y).is_finite()) {
            "scale must be positive, and all three numbers finite"
        } else {
            return Ok(());
        };
        Err(JobError::BadInput(problem.into()))
    }
}

/// After how many steps of z ← z² + c the point leaves the circle of radius 16 (or that it does
/// not, `max`), with |z|² at that time. The radius is past 2 so that the colours can be smooth.
fn escape_time(re: f64, im: f64, max: u32) -> (u32, f64) {
    let (mut x, mut y) = (0.0_f64, 0.0_f64);
    for i in 0..max {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 256.0 {
            return (i, xx + yy);
        }
        y = 2.0 * x * y + im;
        x = xx - yy + re;
    }
    (max, 0.0)
}

/// Black inside; outside a smooth wheel of blues and golds.
fn colour((iterations, norm): (u32, f64), max: u32) -> [u8; 4] {
    if iterations == max {
        return [0, 0, 0, 255];
    }
    // The normalised iteration count (R. Munafo's "continuous dwell"); 8 is 2 · log₂ 16.
    let smooth = f64::from(iterations) + 1.0 - (norm.log2() / 8.0).log2();
    let turn = smooth.max(0.0).sqrt() * 0.35;
    // A wave made of parabolas: a cosine to the eye, without its code.
    let channel = |phase: f64| {
        let place = (turn + phase).fract();
        let rise = 1.0 - (2.0 * place - 1.0).abs();
        (255.0 * rise * rise * (3.0 - 2.0 * rise)) as u8
    };
    [channel(0.0), channel(0.06), channel(0.14), 255]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Tile = Tile {
        width: 64,
        height: 48,
        x: 0,
        y: 0,
        w: 64,
        h: 48,
        center_x: -0.5,
        center_y: 0.0,
        scale: 2.5,
        max_iterations: 200,
    };

    fn draw(tile: Tile) -> Result<Vec<u8>, JobError> {
        tile.draw(&Context {
            cancelled: &|| false,
            progress: &|_, _| {},
            now: || 0.0,
            deadline: f64::INFINITY,
            attempt: 1,
            may_block: true,
        })
    }

    #[test]
    fn tiles_are_cut_from_one_picture() {
        let whole = draw(WHOLE).unwrap();
        let tile = draw(Tile {
            x: 16,
            y: 8,
            w: 4,
            h: 2,
            ..WHOLE
        });
        let tile = tile.unwrap();
        for row in 0..2 {
            let from = ((8 + row) * 64 + 16) * 4;
            assert_eq!(tile[row * 16..row * 16 + 16], whole[from..from + 16]);
        }
        // The middle of the set is inside it, the corner is not.
        assert_eq!(whole[(24 * 64 + 32) * 4..][..4], [0, 0, 0, 255]);
        assert_ne!(whole[..4], [0, 0, 0, 255]);
    }

    #[test]
    fn senseless_tiles_are_refused() {
        let bad = [
            Tile { w: 65, ..WHOLE },
            Tile { width: 0, ..WHOLE },
            Tile { y: 1, ..WHOLE },
            Tile {
                max_iterations: 0,
                ..WHOLE
            },
            Tile {
                scale: -1.0,
                ..WHOLE
            },
            Tile {
                center_x: f64::INFINITY,
                ..WHOLE
            },
        ];
        for tile in bad {
            assert!(matches!(draw(tile), Err(JobError::BadInput(_))));
        }
    }
}
