//! What is shown of files of all formats.
use super::driver::{Place, new, npy, paths, png, refused, rows, wav};
use crate::{Format, Options, Predict, Symbols};
use efference_sdk::{Comparison, Environment, Outline, Plugin, Role};
use image::codecs::gif::GifEncoder;
use image::{Delay, RgbaImage};

/// As text, so that a missing value equals itself.
fn shown(rows: &[Vec<f32>]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}

#[test]
fn a_table_is_scaled_row_by_row_and_texts_are_one_hot() {
    let place = Place::new();
    let options = Options {
        time: "when".to_owned(),
        ..place.with("t.csv", "when,a,state,b\n1,10,low,5\n2,20,high,5\n3,15,low,\n4,,,6\n")
    };
    // a: first 0; above all 10; the middle of 10…20; missing. b: never anything but 5 until the last row.
    assert_eq!(
        shown(&rows(options.clone())),
        ["[0.0, 1.0, -1.0, 0.0]", "[1.0, -1.0, 1.0, 0.0]", "[0.0, 1.0, -1.0, NaN]", "[NaN, NaN, NaN, 1.0]"]
    );
    let Outline { streams, spaces } = crate::Recording::outline(&options).unwrap();
    assert_eq!((streams, spaces.unwrap().observation), (Some(1), 4));
    let fixed = Options {
        columns: vec!["b".to_owned(), "a".to_owned()],
        min: vec![0.0, 10.0],
        max: vec![10.0, 20.0],
        ..options
    };
    assert_eq!(shown(&rows(fixed)), ["[0.0, -1.0]", "[0.0, 1.0]", "[NaN, 0.0]", "[0.2, NaN]"]);
}

#[test]
fn tables_are_read_as_people_write_them() {
    let place = Place::new();
    let plain = rows(place.with("plain.csv", "a,b\n1,2\n3,4\n2,5\n"));
    for (name, written) in [
        ("crlf.csv", "a,b\r\n1,2\r\n3,4\r\n2,5\r\n"),
        ("bom.csv", "\u{feff}a,b\n1,2\n3,4\n2,5"),
        ("quotes.csv", "\"a\",\"b\"\n\"1\",2\n3,\"4\"\n2,5\n"),
        ("spaces.csv", "a, b\n 1 ,2\n3, 4\n2,5\n\n"),
        ("tabs.tsv", "a\tb\n1\t2\n3\t4\n2\t5\n"),
    ] {
        assert_eq!(rows(place.with(name, written)), plain, "{name}");
    }
    let semicolon = Options { separator: ";".to_owned(), ..place.with("s.csv", "a;b\n1;2\n3;4\n2;5\n") };
    assert_eq!(rows(semicolon), plain);
    let bare = Options { header: false, ..place.with("bare.csv", "1,2\n3,4\n2,5\n") };
    assert_eq!(rows(bare.clone()), plain);
    let second = Options { columns: vec!["#2".to_owned()], ..bare };
    assert_eq!(rows(second), [[0.0], [1.0], [1.0]]);
    let commas = Options {
        separator: ";".to_owned(),
        decimal: ",".to_owned(),
        ..place.with("c.csv", "a\n1,5\n2,5\n2\n")
    };
    assert_eq!(rows(commas), [[0.0], [1.0], [0.0]]);
    let multiline = place.with("m.csv", "note,a\n\"two\nlines, \"\"quoted\"\"\",1\nx,2\n");
    assert_eq!(rows(multiline), [[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0]]);
}

#[test]
fn roles_follow_the_columns_and_a_change_stands_behind_its_number() {
    let place = Place::new();
    let options = Options {
        seen_only: vec!["a".to_owned()],
        predicted_only: vec!["c".to_owned()],
        period: 2,
        ..place.with("t.csv", "a,b,c\n1,2,3\n2,3,5\n3,4,9\n")
    };
    let comparison = |options: &Options| new(options.clone()).comparison().unwrap();
    let roles = vec![Role::SEEN, Role::BOTH, Role::PREDICTED];
    assert_eq!(comparison(&options), Comparison { roles, linear: true, period: Some(2) });
    let change = Options { predict: Predict::Change, ..options };
    // b with its change; of c, which is never seen, the change alone.
    let roles = vec![Role::SEEN, Role::SEEN, Role::BOTH, Role::PREDICTED];
    assert_eq!(comparison(&change).roles, roles);
    // The changes of c are 2, then 4, of which 4 · 2 would be 1.
    assert_eq!(rows(change), [[0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.25, 0.5]]);
}

#[test]
fn arrays_are_read_row_by_row() {
    let place = Place::new();
    let floats: Vec<u8> =
        [1.0f32, 5.0, 2.0, f32::NAN, 1.5, 6.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let options = place.with("a.npy", npy("'<f4'", "False", "(3, 2)", &floats));
    assert_eq!(shown(&rows(options.clone())), ["[0.0, 0.0]", "[1.0, NaN]", "[0.0, 1.0]"]);
    let second = Options { columns: vec!["#2".to_owned()], ..options };
    assert_eq!(shown(&rows(second)), ["[0.0]", "[NaN]", "[1.0]"]);
    let bytes = place.with("b.npy", npy("'|u1'", "False", "(2, 1, 2)", &[0, 255, 51, 102]));
    assert_eq!(rows(bytes), [[-1.0, 1.0], [-0.6, -0.2]]);
    let one_axis = place.with("c.npy", npy("'>i2'", "True", "(3,)", &[0, 1, 0, 3, 0, 2]));
    assert_eq!(rows(one_axis), [[0.0], [1.0], [0.0]]);
}

#[test]
fn sound_is_shown_in_frames_of_samples_channel_by_channel() {
    let place = Place::new();
    // Left 0, .5, −1, .25, 0; right the negative; the last one fills no frame.
    let half = 1 << 14;
    let samples = [0, 0, half, -half, i16::MIN, i16::MAX, half / 2, -half / 2, 0, 0];
    let options = Options { samples: 2, ..place.with("s.wav", wav(2, &samples)) };
    let rows = rows(options);
    let near =
        |row: &[f32], wanted: [f32; 4]| row.iter().zip(wanted).all(|(x, wanted)| (x - wanted).abs() < 1e-4);
    assert_eq!(rows.len(), 2);
    assert!(near(&rows[0], [0.0, 0.5, 0.0, -0.5]) && near(&rows[1], [-1.0, 0.25, 1.0, -0.25]), "{rows:?}");
}

#[test]
fn pictures_come_in_the_order_of_their_names_and_in_the_size_that_is_wanted() {
    let place = Place::new();
    let folder = place.path().join("film");
    std::fs::create_dir(&folder).unwrap();
    png(&folder.join("2.png"), 2, &[0, 255, 255, 0]);
    png(&folder.join("10.png"), 4, &[[0; 8], [255; 8]].concat());
    png(&folder.join("1.png"), 1, &[255]);
    std::fs::write(folder.join("notes"), "not a picture").unwrap();
    let options = Options { files: paths(&[folder]), width: 2, height: 2, ..Options::default() };
    let all = rows(options.clone());
    assert_eq!(all, [[1.0; 4], [-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]]);
    let recording = new(options.clone());
    let picture = recording.picture(0, &all[1]).unwrap().unwrap();
    assert_eq!((picture.width, picture.height), (2, 2));
    assert_eq!(picture.rgb, [[0; 3], [255; 3], [255; 3], [0; 3]].concat());
    let coloured = Options { grey: false, predict: Predict::Change, ..options };
    let recording = new(coloured);
    // Each value with its change: what is drawn is the values.
    let elements = recording.spaces().unwrap().unwrap().observation;
    assert_eq!(elements, 2 * 2 * 2 * 3);
    assert_eq!(recording.picture(0, &vec![1.0; elements]).unwrap().unwrap().rgb, [255; 12]);
}

#[test]
fn a_gif_is_shown_picture_by_picture() {
    let place = Place::new();
    let mut file = Vec::new();
    {
        let mut encoder = GifEncoder::new(&mut file);
        for grey in [0u8, 255, 128] {
            let frame = RgbaImage::from_pixel(4, 4, image::Rgba([grey, grey, grey, 255]));
            let delay = Delay::from_numer_denom_ms(100, 1);
            encoder.encode_frame(image::Frame::from_parts(frame, 0, 0, delay)).unwrap();
        }
    }
    let options = Options { width: 1, height: 1, ..place.with("a.gif", file) };
    let rows = rows(options);
    assert_eq!((rows.len(), rows[0][0], rows[1][0]), (3, -1.0, 1.0));
    assert!(rows[2][0].abs() < 0.02, "{rows:?}");
}

#[test]
fn text_is_one_hot_of_its_characters_or_of_all_bytes() {
    let place = Place::new();
    let options = place.with("t.txt", "aßa");
    assert_eq!(rows(options.clone()), [[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]);
    let bytes = Options { symbols: Symbols::Bytes, ..options };
    let rows = rows(bytes);
    let at: Vec<_> = rows.iter().map(|row| row.iter().position(|x| *x == 1.0).unwrap()).collect();
    assert_eq!((at, rows[0].len()), (vec![0x61, 0xc3, 0x9f, 0x61], 256));
}

#[test]
fn video_is_read_by_the_users_ffmpeg_which_is_named_where_it_is_missing() {
    let place = Place::new();
    let options = Options { width: 2, height: 1, ..place.with("film.mp4", "no film") };
    let missing = Options { ffmpeg: "no-such-ffmpeg".to_owned(), ..options.clone() };
    let said = refused(missing);
    assert!(said.contains("\"no-such-ffmpeg\"") && said.contains("apt-get install ffmpeg"), "{said}");
    // A program that is not ffmpeg, and writes what it would: two pictures of two pixels.
    let script = |body: &str| {
        let path = place.write("ffmpeg.sh", format!("#!/bin/sh\n{body}\n"));
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        std::fs::set_permissions(&path, permissions).unwrap();
        Options { ffmpeg: path, ..options.clone() }
    };
    assert_eq!(rows(script("printf '\\000\\377\\377\\000'")), [[-1.0, 1.0], [1.0, -1.0]]);
    let said = place.plain(&refused(script("echo 'film.mp4: Invalid data' >&2; exit 183")));
    assert!(
        said.starts_with("film.mp4 cannot be read after 0 pictures: ffmpeg has ended (exit status: 183)"),
        "{said}"
    );
    assert!(said.ends_with("  | film.mp4: Invalid data"), "{said}");
    let said = place.plain(&refused(script("exit 0")));
    assert_eq!(said, "film.mp4 has no pictures in it");
    let said = refused(script("printf x"));
    assert!(said.ends_with("the last one is cut off"), "{said}");
}

#[test]
fn a_format_is_what_the_name_says_unless_the_spec_says_another() {
    let place = Place::new();
    let said = place.plain(&refused(place.with("data.bin", "a,b\n1,2\n")));
    assert!(
        said.starts_with("the name of data.bin does not say what it is: set environment.format"),
        "{said}"
    );
    let options = Options { format: Format::Csv, ..place.with("data.bin", "a,b\n1,2\n") };
    assert_eq!(rows(options), [[0.0, 0.0]]);
}
