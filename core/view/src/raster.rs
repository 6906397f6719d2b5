//! Pixels of drawings, and PNG files.
use efference_runs::Picture;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::sync::Arc;

/// Why an SVG did not become a PNG.
#[derive(Debug, thiserror::Error)]
pub enum RasterError {
    /// It can't be read.
    #[error("the drawing is no good SVG: {0}")]
    Svg(String),
    /// It has no pixels, or too many.
    #[error("a PNG of {width}×{height} pixels can't be made; write an SVG instead")]
    Size {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// It can't be encoded.
    #[error("the PNG can't be encoded: {0}")]
    Encode(String),
}

/// Most pixels of a side.
const LARGEST: u32 = 16_384;

/// Latin, and the signs that are written in drawings. Its licence lies beside it.
const FONT: &[u8] = include_bytes!("../fonts/DejaVuSans-subset.ttf");

/// Draws an SVG on white, each of its units `scale` pixels wide. Texts are in a font of its own (a part of DejaVu Sans), so
/// that the same picture comes out on a machine without any.
///
/// # Errors
/// If it is no SVG, or too large.
pub fn png_of_svg(svg: &str, scale: f32) -> Result<Vec<u8>, RasterError> {
    let mut options = Options { font_family: "DejaVu Sans".to_owned(), ..Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = Tree::from_str(svg, &options).map_err(|e| RasterError::Svg(e.to_string()))?;
    let size = tree.size();
    let pixels = |length: f32| (length * scale).ceil() as u32;
    let (width, height) = (pixels(size.width()), pixels(size.height()));
    let too_large = width > LARGEST || height > LARGEST;
    let pixmap = if too_large { None } else { Pixmap::new(width, height) };
    let mut pixmap = pixmap.ok_or(RasterError::Size { width, height })?;
    pixmap.fill(resvg::tiny_skia::Color::WHITE);
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    // On white nothing is transparent.
    let rgb = pixmap.data().chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    let picture = Picture { width: width as usize, height: height as usize, rgb };
    encode(&picture).map_err(|e| RasterError::Encode(e.to_string()))
}

/// The bytes of a PNG file, as small as can be: it is made once and looked at often.
pub(crate) fn encode(picture: &Picture) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, picture.width as u32, picture.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&picture.rgb)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_its_colours_where_they_were_drawn() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"4\" height=\"2\">\
                   <rect x=\"2\" y=\"0\" width=\"2\" height=\"2\" fill=\"#ff8000\"/></svg>";
        let bytes = png_of_svg(svg, 3.0).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut rgb).unwrap();
        assert_eq!((info.width, info.height), (12, 6));
        assert_eq!((&rgb[..3], &rgb[3 * 11..3 * 12]), (&[255; 3][..], &[0xff, 0x80, 0][..]));
    }

    #[test]
    fn what_is_no_svg_or_has_too_many_pixels_is_refused() {
        assert!(png_of_svg("nothing", 1.0).unwrap_err().to_string().contains("no good SVG"));
        let large = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20000\" height=\"2\"/>";
        let error = png_of_svg(large, 1.0).unwrap_err().to_string();
        assert_eq!(error, "a PNG of 20000×2 pixels can't be made; write an SVG instead");
    }
}
