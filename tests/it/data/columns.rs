//! Columns of a `table`: chosen, categorical, with holes.

use ebm::data::Split;

use super::table::{PLAIN, everything, file, npy, open, table};

/// Rows with words, holes and truth values among the numbers.
const MIXED: &str = "id,height,colour,tall,kind\n1,10,red,True,a\n2,,blue,False,b\n3,30,,True,a\n4,50,red,False,b\n";

const ALL: &str = "standardise = false\nvalidation = 0.0\ntest = 0.0\nlabel = \"kind\"\ncategorical = [\"colour\"]";

#[test]
fn columns_are_chosen_by_name_or_number_in_the_order_that_is_asked_for() {
    let (_dir, path) = file("rows.csv", "a,b,c,kind\n1,2,x,u\n3,4,y,v\n");
    for columns in ["[\"b\", \"a\"]", "[1, 0]", "[\"1\", \"a\"]", "[-3, -4]"] {
        let data = open(
            &path,
            &format!("columns = {columns}\nlabel = \"kind\"\nstandardise = false\nvalidation = 0.0\ntest = 0.0"),
        );
        assert_eq!(everything(&data), [(vec![2.0, 1.0], Some(0)), (vec![4.0, 3.0], Some(1))], "{columns}");
    }
    let (_other, array) = file("x.npy", npy("(2, 3)", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    let data = open(&array, "columns = [2, 0]\nlabel = 1\nstandardise = false\nvalidation = 0.0\ntest = 0.0");
    assert_eq!(everything(&data), [(vec![3.0, 1.0], Some(0)), (vec![6.0, 4.0], Some(1))]);
    for (keys, code, says) in [
        ("columns = [\"a\", \"kindd\"]", 4, "no column `kindd` (did you mean `kind`?)"),
        ("columns = [\"a\", 4]", 4, "no column `4`"),
        ("columns = [\"a\", 0]", 2, "`a` is named twice"),
        ("columns = [\"a\", \"kind\"]\nlabel = \"kind\"", 2, "`kind` holds the labels"),
        ("columns = [\"a\", \"b\"]\ncategorical = [\"c\"]", 2, "`c` is none of those that are read"),
        ("columns = [\"a\", \"c\"]", 4, "`x` is no number"),
    ] {
        let error = table(&path, keys).err().unwrap();
        assert!(error.exit_code() == code && error.to_string().contains(says), "{keys}: {error}");
    }
}

#[test]
fn categories_become_columns_of_their_own() {
    let (_dir, path) = file("rows.csv", "size,colour\n1,red\n2,blue\n3,red\n4,green\n");
    let keys = "standardise = false\nvalidation = 0.0\ncategorical = [\"colour\"]";
    let data = open(&path, &format!("{keys}\ntest = 0.0"));
    assert_eq!(data.columns(), ["size", "colour=blue", "colour=green", "colour=red"]);
    let rows: Vec<_> = everything(&data).into_iter().map(|(x, _)| x).collect();
    let want = [[1.0, 0.0, 0.0, 1.0], [2.0, 1.0, 0.0, 0.0], [3.0, 0.0, 0.0, 1.0], [4.0, 0.0, 1.0, 0.0]];
    assert_eq!(rows, want.map(|row| row.to_vec()));
    // A word that only the test file has is a category too, and its order is its own.
    let (_other, test) = file("test.csv", "size,colour\n5,white\n6,blue\n");
    let data = open(&path, &format!("{keys}\ntest_path = {test:?}"));
    assert_eq!(data.columns(), ["size", "colour=blue", "colour=green", "colour=red", "colour=white"]);
    let mut rows = data.all(Split::Test, 9).unwrap().x.to_vec2::<f32>().unwrap();
    rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
    assert_eq!(rows, [[5.0, 0.0, 0.0, 0.0, 1.0], [6.0, 1.0, 0.0, 0.0, 0.0]]);
    // Codes are in the order of their numbers; a file without names has numbers.
    let (_other, array) = file("x.npy", npy("(3, 2)", &[10.0, 1.0, 9.0, 2.0, 10.0, 3.0]));
    let data = open(&array, "standardise = false\nvalidation = 0.0\ntest = 0.0\ncategorical = [0]");
    assert_eq!(data.columns(), ["0=9", "0=10", "1"]);
    // No density is defined on them unless noise spreads them.
    let rows: String = (0..30).map(|i| format!("{},{}\n", i * i, ["red", "blue", "green"][i % 3])).collect();
    let (_other, path) = file("more.csv", format!("size,colour\n{rows}"));
    let error = open(&path, &format!("{keys}\ntest = 0.0")).check_density().unwrap_err();
    assert!(error.to_string().contains("colour=") && error.to_string().contains("noise"), "{error}");
    assert!(open(&path, &format!("{keys}\ntest = 0.0\nnoise = 0.1")).check_density().is_ok());
}

#[test]
fn missing_values_are_refused_dropped_or_filled_in() {
    let (_dir, path) = file("rows.csv", MIXED);
    let error = table(&path, ALL).err().unwrap();
    let text = error.to_string();
    let words = ["line 3: column 2 (`height`): no value", "dataset.missing", "drop", "mean"];
    assert!(error.exit_code() == 4 && words.iter().all(|word| text.contains(word)), "{text}");
    let data = open(&path, &format!("{ALL}\nmissing = \"drop\""));
    assert_eq!(data.columns(), ["id", "height", "colour=red", "tall"]);
    let want = [(vec![1.0, 10.0, 1.0, 1.0], Some(0)), (vec![4.0, 50.0, 1.0, 0.0], Some(1))];
    assert_eq!(everything(&data), want);
    let data = open(&path, &format!("{ALL}\nmissing = \"mean\""));
    assert_eq!(data.columns(), ["id", "height", "colour=blue", "colour=red", "tall"]);
    let rows = everything(&data);
    assert_eq!(rows[1].0, [2.0, 30.0, 1.0, 0.0, 0.0]);
    let near = |found: &[f64], want: [f64; 5]| found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(near(&rows[2].0, [3.0, 30.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]), "{rows:?}");
    // A word that only rows left out have is no category.
    let (_other, holes) = file("rows.csv", "colour,a\nred,1\nblue,\nred,3\ngreen,4\n");
    let keys = "standardise = false\nvalidation = 0.0\ntest = 0.0\nmissing = \"drop\"\ncategorical = [0]";
    assert_eq!(open(&holes, keys).columns(), ["colour=green", "colour=red", "a"]);
    // The mean is that of the training items, whatever the test rows hold.
    let (_other, test) = file("test.csv", "id,height,colour,tall,kind\n9,NA,red,True,a\n8,1000,blue,False,b\n");
    let data = open(&path, &format!("{ALL}\nmissing = \"mean\"\ntest_path = {test:?}"));
    let test = everything(&data).into_iter().find(|(x, _)| x[0] == 9.0).unwrap();
    assert_eq!(test.0[1], 30.0);
    for marker in ["NA", "nan", "null", "?", "None", "N/A"] {
        let (_dir, path) = file("rows.csv", format!("a,b\n1,2\n3,{marker}\n5,6\n7,8\n9,10\n"));
        assert!(table(&path, "").err().unwrap().to_string().contains("line 3: column 2 (`b`): no value"), "{marker}");
        assert_eq!(everything(&open(&path, &format!("missing = \"drop\"\n{PLAIN}"))).len(), 4, "{marker}");
    }
    let (_other, array) = file("x.npy", npy("(3, 2)", &[1.0, 2.0, f64::NAN, 4.0, 5.0, 6.0]));
    let error = table(&array, "").err().unwrap().to_string();
    assert!(error.contains("row 1, column 0 (from 0)") && error.contains("dataset.missing"), "{error}");
    let keys = "standardise = false\nvalidation = 0.0\ntest = 0.0\nmissing = ";
    assert_eq!(everything(&open(&array, &format!("{keys}\"drop\""))).len(), 2);
    assert_eq!(everything(&open(&array, &format!("{keys}\"mean\"")))[1].0, [3.0, 4.0]);
    let (_other, empty) = file("rows.csv", "a,b\n1,\n3,\n");
    let error = table(&empty, "missing = \"mean\"\ntest = 0.0\nvalidation = 0.0").err().unwrap();
    assert!(error.exit_code() == 2 && error.to_string().contains("`b` has no value"), "{error}");
    let (_other, label) = file("rows.csv", "a,kind\n1,u\n2,\n3,v\n");
    assert!(table(&label, "label = \"kind\"\nmissing = \"mean\"").err().unwrap().to_string().contains("no label"));
    let data = open(&label, "label = \"kind\"\nmissing = \"drop\"\nstandardise = false\nvalidation = 0.0\ntest = 0.0");
    assert_eq!(everything(&data), [(vec![1.0], Some(0)), (vec![3.0], Some(1))]);
}
