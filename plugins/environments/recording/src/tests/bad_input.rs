//! Files and options that are not as they should be: a sentence with file, line, column, and what to do.
use super::driver::{Place, drive, make, new, npy, paths, png, refused, try_poll, wav};
use crate::{Format, Options, Recording};
use efference_sdk::Plugin;

#[test]
fn tables_that_cannot_be_read_are_refused_with_line_column_and_help() {
    let place = Place::new();
    for (contents, wanted) in [
        ("", "t.csv is empty"),
        ("a,b\n", "t.csv has a header and no rows: there is nothing to observe"),
        (
            "a,b\n1,2\n3\n",
            "t.csv, line 3: the row has 1 value where the header names 2: mend the row, or take it out",
        ),
        (
            "a,b\n1,2\n3,4,5\n",
            "t.csv, line 3: the row has 3 values where the header names 2: a value with a separator in it must stand in quotes, a decimal comma needs environment.decimal",
        ),
        (
            "a,b\n1,2\n3,four\n",
            "t.csv, line 3, column \"b\": \"four\" is no number, and the values above it are: mend it, leave it empty where a value is missing, or add the column to environment.text if it is one of text",
        ),
        (
            "a;b\n1;2\n3;4\n",
            "t.csv has one column, with rows such as \"1;2\": its separator seems to be another one than ','. Set environment.separator = \";\"",
        ),
        (
            "a\tb\n1\t2\n",
            "t.csv has one column, with rows such as \"1\\t2\": its separator seems to be another one than ','. Set environment.separator = \"\\t\"",
        ),
        (
            "a\n1\ninf\n",
            "t.csv, line 3, column \"a\": \"inf\" is no number that can be scaled: leave the value empty, which says that it is missing",
        ),
        (
            "a\n1\n1e999\n",
            "t.csv, line 3, column \"a\": \"1e999\" is no number that can be scaled: leave the value empty, which says that it is missing",
        ),
        (
            "a,b,a\n1,2,3\n",
            "two columns of t.csv are called \"a\": give them names of their own, or say in environment.columns which are read, by their numbers: \"#1\" or \"#3\"",
        ),
        (
            "a\n1\n\u{feff}2\n",
            "t.csv, line 3, column \"a\": \"\\u{feff}2\" is no number, and the values above it are: mend it, leave it empty where a value is missing, or add the column to environment.text if it is one of text",
        ),
        (
            "\0\0\0\0",
            "t.csv is no table of text: its first row has bytes that are 0. Set environment.format to what it is",
        ),
        ("PK\x03\x04rest", "t.csv is packed: unpack it first (`unzip`)"),
    ] {
        assert_eq!(place.plain(&refused(place.with("t.csv", contents))), wanted);
    }
    let wide = [&[0xff, 0xfe][..], b"a\0,\0b\0"].concat();
    assert_eq!(place.plain(&refused(place.with("t.csv", wide))), "t.csv is text in UTF-16: save it as UTF-8");
}

#[test]
fn columns_that_are_not_there_are_named_with_the_nearest_one() {
    let place = Place::new();
    let table = place.with("t.csv", "ozone,wind\n1,2\n3,4\n");
    let column = |name: &str| vec![name.to_owned()];
    for (options, wanted) in [
        (
            Options { columns: column("ozon"), ..table.clone() },
            "there is no column \"ozon\" in t.csv (is \"ozone\" meant?). Its columns are: ozone, wind",
        ),
        (
            Options { time: "zeit".to_owned(), ..table.clone() },
            "there is no column \"zeit\" in t.csv. Its columns are: ozone, wind",
        ),
        (
            Options { columns: column("#3"), ..table.clone() },
            "there is no column \"#3\" in t.csv, which has 2 columns",
        ),
        (
            Options { columns: column("wind"), seen_only: column("ozone"), ..table.clone() },
            "the column \"ozone\" is in seen_only, and not among environment.columns",
        ),
        (
            Options { columns: column("wind"), seen_only: column("wind"), ..table.clone() },
            "all columns are in seen_only: nothing would be predicted. Leave one out of the list",
        ),
        (
            Options { min: vec![0.0; 3], max: vec![1.0; 3], ..table.clone() },
            "min and max are of 3 columns, and there are 2 columns of numbers: say one for all of them, or one for each",
        ),
        (
            Options { period: 2, ..table.clone() },
            "period = 2, but t.csv has 2 rows: none has one a period before it. Set environment.period lower, or to 0",
        ),
    ] {
        assert_eq!(place.plain(&refused(options.clone())), wanted);
        // The same is said without making it.
        assert_eq!(
            place.plain(&format!("{:#}", Recording::outline(&options).unwrap_err())),
            wanted,
            "{options:?}"
        );
    }
}

#[test]
fn too_many_texts_of_a_column_say_what_may_be_wrong() {
    let place = Place::new();
    let rows: String = (0..9).map(|day| format!("1/{day}/87,{day}\n")).collect();
    let options = Options { categories: 8, ..place.with("t.csv", format!("day,x\n{rows}")) };
    let said = place.plain(&refused(options.clone()));
    assert!(
        said.starts_with(
            "t.csv, line 10, column \"day\": \"1/8/87\" is text number 9 of the column, and it may have 8"
        ),
        "{said}"
    );
    assert!(
        said.contains("its first value is: \"1/0/87\" in line 2")
            && said.contains("environment.time = \"day\""),
        "{said}"
    );
    new(Options { time: "day".to_owned(), ..options });
}

#[test]
fn options_that_contradict_each_other_are_refused_and_named() {
    let table = Options { files: vec!["t.csv".to_owned()], ..Options::default() };
    let list = || vec!["a".to_owned()];
    for (options, option, says) in [
        (Options::default(), "files", "files is empty"),
        (Options { files: vec![" ".to_owned()], ..table.clone() }, "files", "has no name"),
        (Options { separator: "::".to_owned(), ..table.clone() }, "separator", "one character"),
        (Options { separator: "5".to_owned(), ..table.clone() }, "separator", "one character"),
        (Options { decimal: ",".to_owned(), ..table.clone() }, "separator", "both"),
        (Options { decimal: "x".to_owned(), ..table.clone() }, "decimal", "must be"),
        (
            Options { seen_only: list(), predicted_only: list(), ..table.clone() },
            "predicted_only",
            "seen and predicted",
        ),
        (Options { columns: [list(), list()].concat(), ..table.clone() }, "columns", "twice"),
        (Options { min: vec![1.0], ..table.clone() }, "min", "needs the other"),
        (Options { min: vec![1.0], max: vec![1.0], ..table.clone() }, "min", "must be below"),
        (Options { min: vec![f64::NAN], max: vec![1.0], ..table.clone() }, "min", "finite"),
        (Options { time: "a".to_owned(), seen_only: list(), ..table }, "seen_only", "is the time"),
    ] {
        let error = Recording::outline(&options).unwrap_err();
        let said = format!("{error:#}");
        assert_eq!(error.option(), Some(option), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn files_that_are_not_there_or_no_files_are_named() {
    let place = Place::new();
    let of = |file: &str| Options {
        files: vec![place.path().join(file).to_string_lossy().into_owned()],
        ..Options::default()
    };
    let said = |options| place.plain(&refused(options));
    assert_eq!(
        said(of("none.csv")),
        "there is no file none.csv: set environment.files to files that are there"
    );
    assert_eq!(
        said(of("*.csv")).split(": set").next().unwrap().replace(&format!("{}/", place.path().display()), ""),
        "nothing is called like \"*.csv\""
    );
    std::fs::create_dir(place.path().join("d.csv")).unwrap();
    let folder = Options { format: Format::Csv, ..of("d.csv") };
    assert!(said(folder).starts_with("d.csv is a folder: set environment.files to the files in it"));
    std::os::unix::fs::symlink("loop.csv", place.path().join("loop.csv")).unwrap();
    assert!(said(of("loop.csv")).starts_with("loop.csv cannot be read: "));
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(said(of("empty")).starts_with("empty has no pictures in it"));
    let (one, other) = (place.write("a.csv", "x\n1\n"), place.write("b.csv", "y\n1\n"));
    let both = Options { files: vec![one.clone(), other], ..Options::default() };
    assert!(said(both).starts_with("b.csv has other columns (y) than "), "of several files");
    let mixed = Options { files: vec![one, place.write("c.txt", "x")], ..Options::default() };
    assert_eq!(
        said(mixed),
        "a.csv and c.txt are files of different formats: the streams of an environment observe the same"
    );
}

#[test]
fn arrays_that_cannot_be_read_are_refused() {
    let place = Place::new();
    for (file, says) in [
        (npy("'|O'", "False", "(3,)", &[]), "holds Python objects"),
        (npy("[('a', '<f4')]", "False", "(3,)", &[]), "structured"),
        (npy("'<f4'", "True", "(3, 2)", &[0; 24]), "numpy.ascontiguousarray"),
        (npy("'<f4'", "False", "()", &[0; 4]), "a single number"),
        (npy("'<f4'", "False", "(0, 3)", &[]), "nothing to observe"),
        (
            npy("'<f4'", "False", "(3, 2)", &[0; 20]),
            "is cut off: it says that it has 3 rows, and ends in row 3",
        ),
        (npy("'<f4'", "False", "(1,)", &f32::INFINITY.to_le_bytes()), "row 1, column #1: an infinite number"),
        (npy("'<f4'", "False", "(2, 99999999999)", &[]), "more than 4194304 elements"),
        (npy("'<f4'", "False", "(18446744073709551615, 2)", &[]), "is cut off"),
        (b"PK\x03\x04....".to_vec(), "as .npz is"),
        (b"\x93NUMPY\x09\x00".to_vec(), "version 9"),
        (b"\x93NUM".to_vec(), "it ends within its head"),
        (Vec::new(), "it ends within its head"),
    ] {
        let said = refused(place.with("a.npy", file));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn sounds_pictures_and_texts_that_cannot_be_read_are_refused() {
    let place = Place::new();
    let said = |name: &str, contents: &[u8], options: Options| {
        let files = vec![place.write(name, contents)];
        place.plain(&refused(Options { files, ..options }))
    };
    let plain = Options::default();
    assert_eq!(
        said("s.wav", &wav(1, &[]), plain.clone()),
        "s.wav has no samples: there is nothing to observe"
    );
    let long = Options { samples: 9, ..plain.clone() };
    assert!(
        said("s.wav", &wav(1, &[1; 8]), long).starts_with("s.wav has 8 samples, and a frame is samples = 9")
    );
    assert!(
        said("s.flac", b"fLaC....", plain.clone())
            .starts_with("s.flac is no WAV or FLAC file that can be read")
    );
    assert!(said("g.gif", b"GIF89a", plain.clone()).starts_with("g.gif is no picture that can be read"));
    place.write("p/1.png", b"no PNG");
    let folder = Options { files: paths(&[place.path().join("p")]), ..plain.clone() };
    assert!(place.plain(&refused(folder)).contains("1.png is no picture that can be read"));
    assert_eq!(said("t.txt", b"", plain.clone()), "t.txt is empty");
    assert_eq!(
        said("t.txt", b"ab\nc\xffd", plain.clone()),
        "t.txt, line 2, byte 5: this is no UTF-8. Convert it (`iconv -t utf-8`), or set environment.symbols = \"bytes\""
    );
    let few = Options { categories: 2, ..plain.clone() };
    assert!(
        said("t.txt", b"aab\nc", few)
            .starts_with("t.txt, line 1: '\\n' is one more than the 2 different characters")
    );
    let columns = Options { columns: vec!["a".to_owned()], ..plain };
    assert_eq!(
        said("t.txt", b"ab", columns),
        "columns is for tables, and text has no use for it: take it out"
    );
}

#[test]
fn a_broken_picture_in_the_middle_ends_the_run_with_its_name() {
    let place = Place::new();
    let folder = place.path().join("film");
    std::fs::create_dir(&folder).unwrap();
    png(&folder.join("1.png"), 2, &[0, 255, 255, 0]);
    png(&folder.join("2.png"), 2, &[0, 255, 255, 0]);
    let bytes = std::fs::read(folder.join("2.png")).unwrap();
    std::fs::write(folder.join("2.png"), &bytes[..bytes.len() - 20]).unwrap();
    let options = Options { files: paths(&[folder]), width: 2, height: 2, ..Options::default() };
    let mut recording = new(options);
    drive(&mut recording, 1);
    let said = try_poll(&mut recording).unwrap_err().to_string();
    assert!(said.contains("2.png is no picture that can be read"), "{said}");
}

#[test]
fn a_table_that_changes_while_it_is_read_ends_the_run_with_a_sentence() {
    let place = Place::new();
    let rows: String = (0..40_000).map(|row| format!("{row},{row}\n")).collect();
    let options = place.with("t.csv", format!("a,b\n{rows}"));
    let mut recording = new(options.clone());
    drive(&mut recording, 3);
    std::fs::write(&options.files[0], "a,b\n1,2\n").unwrap();
    let said = loop {
        match try_poll(&mut recording) {
            Ok(received) => {
                let (stream, observation) = &received.frames[0];
                efference_sdk::Environment::act(&mut recording, *stream, &vec![0.0; observation.len()], &[])
                    .unwrap();
            }
            Err(error) => break place.plain(&error.to_string()),
        }
    };
    assert!(said.starts_with("t.csv has changed since it was first read"), "{said}");
}

#[test]
fn a_quote_that_is_never_closed_takes_no_more_than_a_row_may_have() {
    let place = Place::new();
    let rows = "1,2\n".repeat(5 << 20);
    let options = place.with("t.csv", format!("a,b\n1,\"2\n{rows}"));
    let Err(error) = make(options) else { panic!("it was made") };
    let said = place.plain(&format!("{error:#}"));
    assert!(
        said.starts_with("t.csv, line 2: a row has more than 8 MiB: is a quote (\") opened there"),
        "{said}"
    );
}
