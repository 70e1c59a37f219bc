//! Files that grow, move, shrink and break, and what is read of them.

use std::io::Write as _;
use std::path::Path;

use super::*;
use crate::rule::yaml;

const DAY: i64 = 1_767_603_600_000;

/// A folder, a source that reads it, and the daemon's clock.
struct Scene {
    folder: tempfile::TempDir,
    source: Follow,
    now: Timestamp,
}

fn settings(folder: &Path, pattern: &str, follow: bool) -> Settings {
    Settings {
        lane: format!("s/{pattern}"),
        pattern: folder.join(pattern).to_string_lossy().into_owned(),
        shown: pattern.to_owned(),
        follow,
        every: Millis::secs(1),
        settle: Millis::secs(60),
        mapping: Mapping::default(),
    }
}

/// A row, so many seconds into the day.
fn row(second: i64) -> String {
    format!("{{\"id\":\"{second}\",\"user_name\":\"ana\",\"start_time\":\"{}\"}}\n", at(second))
}

fn at(second: i64) -> Timestamp {
    Timestamp(DAY + second * 1_000)
}

fn rows(seconds: impl IntoIterator<Item = i64>) -> String {
    seconds.into_iter().map(row).collect()
}

impl Scene {
    fn new(pattern: &str, follow: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Follow::new(settings(folder.path(), pattern, follow));
        Self { folder, source, now: at(200_000) }
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.folder.path().join(from), self.folder.path().join(to)).unwrap();
    }

    fn step(&mut self) -> Step {
        self.source.next(self.now)
    }

    /// Every reading until there is nothing to do, a second later than before.
    fn readings(&mut self) -> Vec<Reading> {
        self.now = self.now + Millis::secs(1);
        let mut readings = Vec::new();
        loop {
            match self.step() {
                Step::Read(reading) => readings.push(*reading),
                Step::Wait(_) => return readings,
                Step::Failed { trouble, .. } => panic!("{trouble}"),
            }
        }
    }

    /// The ids in what is read now.
    fn ids(&mut self) -> Vec<String> {
        let rows: String = self.readings().into_iter().map(|reading| reading.rows).collect();
        ids_in(&rows)
    }

    /// A new life of the same source.
    fn restart(&mut self, cursor: &str) {
        let Settings { pattern, shown, follow, lane, .. } = &self.source.settings;
        let mut settings = settings(Path::new(""), "", *follow);
        settings.pattern.clone_from(pattern);
        settings.shown.clone_from(shown);
        settings.lane.clone_from(lane);
        self.source = Follow::new(settings);
        self.source.resume(0, cursor).unwrap();
    }
}

fn ids_in(rows: &str) -> Vec<String> {
    rows.lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn only_whole_lines_are_taken_and_a_half_one_waits() {
    let mut scene = Scene::new("a.ndjson", true);
    let last = row(3);
    let (half, rest) = last.split_at(20);
    scene.append("a.ndjson", &(rows([1, 2]) + half));
    assert_eq!(scene.ids(), ["1", "2"]);
    assert_eq!(scene.ids(), [""; 0]);
    scene.append("a.ndjson", rest);
    assert_eq!(scene.ids(), ["3"]);
}

#[test]
fn a_new_life_says_at_once_that_nothing_new_is_there() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.append("a.ndjson", &rows([1, 2]));
    let cursor = scene.readings().pop().unwrap().cursor;
    scene.restart(&cursor);
    let readings = scene.readings();
    let told: Vec<_> = readings.iter().map(|reading| (reading.rows.as_str(), reading.behind)).collect();
    assert_eq!(told, [("", false)]);
    assert_eq!(scene.readings().len(), 0, "and says it once");
    // A file without rows is read, too.
    let mut scene = Scene::new("b.ndjson", true);
    scene.append("b.ndjson", "");
    assert_eq!(scene.readings().len(), 1);
}

#[test]
fn the_watermark_is_the_newest_time_less_settle_and_moves_on_when_idle() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(1_000);
    scene.append("a.ndjson", &rows([100, 200]));
    let told = |scene: &mut Scene| scene.readings().last().and_then(|reading| reading.watermark);
    assert_eq!(told(&mut scene), Some((at(140), at(140))));
    scene.now = scene.now + Millis::secs(30);
    assert_eq!(told(&mut scene), None, "not idle for so long yet");
    scene.now = at(1_001 + 90);
    let moved = told(&mut scene).unwrap();
    assert_eq!(moved.0, at(200 + 91 - 60), "the newest time, and how long it is idle, less settle");
    assert_eq!(told(&mut scene), None, "not told every second");
    scene.now = at(100_000);
    assert!(told(&mut scene).unwrap().0 <= scene.now);
}

#[test]
fn a_clock_that_leaps_moves_no_watermark_and_rows_that_come_when_it_is_set_right_are_in_time() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(1_000);
    scene.append("a.ndjson", &rows([990]));
    let mut told = Vec::new();
    let mut look = |scene: &mut Scene, seconds: i64| {
        for _ in 0..seconds {
            told.extend(scene.readings().into_iter().filter_map(|reading| reading.watermark));
        }
        told.last().map(|(start, _)| *start)
    };
    assert_eq!(look(&mut scene, 22), Some(at(990 - 60)));
    scene.now = scene.now + Millis::hours(8);
    look(&mut scene, 22);
    scene.now = scene.now - Millis::hours(8);
    let complete = look(&mut scene, 22);
    assert!(complete < Some(scene.now), "{complete:?}");
    // A night is as long as it is, look by look.
    assert!(look(&mut scene, 8 * 3_600) > Some(scene.now - Millis::secs(90)));
}

#[test]
fn rows_that_a_clock_dated_that_was_ahead_are_told_of_until_their_time_has_come() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(30_000);
    scene.append("a.ndjson", &rows([29_990]));
    let cursor = scene.readings().pop().unwrap().cursor;
    let ahead = |scene: &Scene| scene.source.complete_ahead(scene.now);
    assert_eq!(ahead(&scene), None);
    for restarts in [false, true] {
        if restarts {
            scene.restart(&cursor);
        }
        scene.now = at(1_200);
        assert_eq!(
            (scene.readings().pop().and_then(|reading| reading.watermark), ahead(&scene)).1,
            Some(at(29_930))
        );
        scene.now = at(29_700);
        assert_eq!(ahead(&scene), None, "clocks differ by some minutes");
    }
    let mut scene = Scene::new("a.ndjson", false);
    scene.append("a.ndjson", &rows([29_990]));
    scene.readings();
    assert_eq!(scene.source.complete_ahead(at(0)), None, "a file that is read once has a time of its own");
}

#[test]
fn the_watermark_never_comes_within_settle_of_the_clock() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(1_000);
    scene.append("a.ndjson", &rows([1_200, 1_201]));
    let reading = scene.readings().pop().unwrap();
    assert_eq!((ids_in(&reading.rows).len(), reading.ahead), (2, 0), "clocks differ by some minutes");
    assert_eq!(reading.watermark.unwrap().0, at(1_001 - 60));
    scene.now = at(1_100);
    assert_eq!(scene.readings().pop().unwrap().watermark.unwrap().0, at(1_101 - 60));
}

#[test]
fn a_file_that_is_renamed_goes_on_and_a_new_one_begins() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.append("a.ndjson", &rows([1, 2]));
    assert_eq!(scene.ids(), ["1", "2"]);
    scene.append("a.ndjson", &row(3));
    scene.rename("a.ndjson", "a.ndjson.1");
    scene.append("a.ndjson", &rows([5, 6]));
    // Its writer has not noticed yet.
    scene.append("a.ndjson.1", &row(4));
    assert_eq!(scene.ids(), ["3", "4", "5", "6"]);
    scene.append("a.ndjson.1", &row(7));
    assert_eq!(scene.ids(), ["7"]);
}

#[test]
fn a_file_that_was_renamed_between_two_lives_is_found_again() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.append("a.ndjson", &rows([1, 2]));
    let cursor = scene.readings().pop().unwrap().cursor;
    scene.append("a.ndjson", &row(3));
    scene.rename("a.ndjson", "a.ndjson.1");
    scene.append("a.ndjson", &row(4));
    scene.restart(&cursor);
    assert_eq!(scene.ids(), ["3", "4"]);
}

#[test]
fn a_renamed_file_within_the_pattern_is_not_read_twice() {
    let mut scene = Scene::new("a.ndjson*", true);
    scene.append("a.ndjson", &rows([1, 2]));
    assert_eq!(scene.ids(), ["1", "2"]);
    scene.rename("a.ndjson", "a.ndjson.1");
    scene.append("a.ndjson", &rows([3, 4]));
    assert_eq!(scene.ids(), ["3", "4"]);
}

#[test]
fn a_file_that_is_cut_short_or_replaced_in_place_begins_anew() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.append("a.ndjson", &rows([1, 2, 3]));
    assert_eq!(scene.ids(), ["1", "2", "3"]);
    scene.write("a.ndjson", rows([4, 5]).as_bytes());
    assert_eq!(scene.ids(), ["4", "5"]);
    // Longer than before: only the first bytes tell.
    scene.write("a.ndjson", rows([6, 7, 8, 9]).as_bytes());
    assert_eq!(scene.ids(), ["6", "7", "8", "9"]);
}

#[test]
fn a_later_life_reads_on_where_the_cursor_says() {
    let mut scene = Scene::new("*.ndjson", true);
    scene.append("a.ndjson", &rows([1, 2]));
    scene.append("b.ndjson", &rows([3, 4]));
    let cursor = scene.readings().pop().unwrap().cursor;
    scene.append("a.ndjson", &row(5));
    scene.restart(&cursor);
    assert_eq!(scene.ids(), ["5"]);
    assert!(scene.source.resume(0, "{}").is_err());
}

#[test]
fn packed_files_are_read_once_and_whole() {
    let mut scene = Scene::new("*.zst", true);
    let packed = zstd::stream::encode_all(rows(0..1_000).as_bytes(), 3).unwrap();
    scene.write("a.zst", &packed);
    assert_eq!(scene.ids().len(), 1_000);
    assert_eq!(scene.ids(), [""; 0]);
    scene.write("b.zst", &zstd::stream::encode_all(rows([2_000]).as_bytes(), 3).unwrap());
    assert_eq!(scene.ids(), ["2000"]);
}

/// Half of a packed file, and the whole of it.
fn half_packed(rows: &str) -> (Vec<u8>, Vec<u8>) {
    let packed = zstd::stream::encode_all(rows.as_bytes(), 3).unwrap();
    (packed[..packed.len() / 2].to_vec(), packed)
}

#[test]
fn a_packed_file_that_is_still_copied_is_read_on_later_without_a_row_twice() {
    let mut scene = Scene::new("*.zst", true);
    let (half, packed) = half_packed(&rows(0..1_000));
    scene.write("a.zst", &half);
    let mut ids = scene.ids();
    assert_eq!(scene.source.broken(), None, "copying takes a while");
    scene.write("a.zst", &packed);
    for _ in 0..20 {
        ids.extend(scene.ids());
    }
    assert_eq!(ids, (0..1_000).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(scene.source.broken(), None);
}

#[test]
fn a_damaged_file_holds_up_no_other_is_told_of_and_is_read_on_when_it_is_whole() {
    let mut scene = Scene::new("*", true);
    let (half, packed) = half_packed(&rows(0..100_000));
    scene.write("a.zst", &half);
    scene.append("b.ndjson", &rows([150_000]));
    let (mut ids, mut watermark, mut remarks) = (Vec::new(), None, Vec::new());
    let mut seconds = |scene: &mut Scene, seconds: i64, second: &dyn Fn(&Scene)| {
        for _ in 0..seconds {
            second(scene);
            for reading in scene.readings() {
                ids.extend(ids_in(&reading.rows));
                watermark = reading.watermark.map(|(start, _)| start);
                remarks.extend(reading.remarks);
            }
        }
        (std::mem::take(&mut ids), watermark, std::mem::take(&mut remarks))
    };
    let (first, held, _) = seconds(&mut scene, 1, &|_| ());
    let read = first.len() - 1;
    assert!(read > 0 && read < 100_000 && first[read] == "150000", "{read}");
    assert!(held < Some(at(100_000)), "it may still be copied: {held:?}");
    let more = |scene: &Scene| scene.append("b.ndjson", &row((scene.now.0 - DAY) / 1_000));
    let (others, still, _) = seconds(&mut scene, 40, &more);
    assert_eq!((others.len(), still), (40, held));
    let (damage, waits) = (scene.source.broken().unwrap(), "(rules wait for it, for 10 min at most)");
    let path = scene.folder.path().join("a.zst");
    assert!(damage.starts_with(&format!("cannot read `{}`: it breaks off at byte ", path.display())));
    assert!(damage.ends_with(&format!("; get the file again, or leave it out {waits}")), "{damage}");
    // Nobody mended it.
    let (others, later, remarks) = seconds(&mut scene, 600, &more);
    assert_eq!(others.len(), 600);
    assert!(later > Some(at(200_500)), "{later:?}");
    assert!(
        remarks[0].starts_with(&format!("`{}` is waited for no longer: ", path.display())),
        "{remarks:?}"
    );
    let damage = scene.source.broken().unwrap();
    assert!(damage.ends_with("(rules wait for it no longer)"), "{damage}");
    // It is there again, in its place.
    scene.write("a.zst", &packed);
    let (rest, ..) = seconds(&mut scene, 15, &|_| ());
    let whole: Vec<String> = (read..100_000).map(|id| id.to_string()).collect();
    assert!(rest == whole, "{} of {}", rest.len(), whole.len());
    assert_eq!(scene.source.broken(), None);
}

#[test]
fn a_later_life_knows_a_damaged_file_again_and_waits_no_longer_for_what_was_given_up() {
    let mut scene = Scene::new("*", true);
    let (half, packed) = half_packed(&rows(0..100_000));
    scene.write("a.zst", &half);
    scene.append("b.ndjson", &rows([150_000]));
    let readings = scene.readings();
    let (read, cursor) =
        (readings.iter().flat_map(|reading| ids_in(&reading.rows)).count(), &readings.last().unwrap().cursor);
    let cursor_of = |scene: &mut Scene, cursor: &str| {
        scene.restart(cursor);
        let readings = scene.readings();
        let remarks: Vec<&String> = readings.iter().flat_map(|reading| &reading.remarks).collect();
        assert_eq!((readings.iter().map(|reading| reading.rows.len()).sum::<usize>(), remarks), (0, vec![]));
        assert!(scene.source.broken().is_some(), "it was told of");
        readings.last().unwrap().cursor.clone()
    };
    let cursor = cursor_of(&mut scene, cursor);
    scene.now = scene.now + Millis::mins(11);
    let given_up = scene.readings().pop().unwrap().cursor;
    assert_ne!(given_up, cursor);
    cursor_of(&mut scene, &given_up);
    scene.now = scene.now + Millis::mins(2);
    scene.append("b.ndjson", &row(200_800));
    let watermark = scene.readings().pop().unwrap().watermark;
    let complete = scene.now - Millis::mins(1);
    assert_eq!(watermark, Some((complete, complete)));
    scene.write("a.zst", &packed);
    scene.now = scene.now + Millis::secs(30);
    assert_eq!(scene.ids().len(), 100_000 - (read - 1));
}

#[test]
fn a_damaged_file_that_is_taken_away_or_replaced_is_no_longer_told_of() {
    let mut scene = Scene::new("*.zst", true);
    let (half, packed) = half_packed(&rows(0..1_000));
    for replaced in [false, true] {
        scene.write("a.zst", &half);
        scene.readings();
        scene.now = scene.now + Millis::mins(1);
        scene.readings();
        assert!(scene.source.broken().is_some());
        if replaced {
            scene.write("a.new", &packed);
            scene.rename("a.new", "a.zst");
            let readings = scene.readings();
            assert_eq!(readings.iter().map(|reading| reading.rows.lines().count()).sum::<usize>(), 1_000);
            assert!(
                readings.iter().all(|reading| reading.remarks.is_empty()),
                "what is missing is there now"
            );
        } else {
            scene.rename("a.zst", "a.bad");
            let remarks = scene.readings().pop().unwrap().remarks;
            assert!(remarks[0].contains("a.zst` is gone; what came after byte "), "{remarks:?}");
        }
        assert_eq!(scene.source.broken(), None);
    }
}

#[test]
fn files_that_are_not_followed_are_read_to_their_end_by_time() {
    let mut scene = Scene::new("*.ndjson", false);
    scene.append("b.ndjson", &rows([1, 2]));
    scene.append("a.ndjson", &(rows([3, 4]) + row(5).trim_end()));
    let readings = scene.readings();
    let all: String = readings.iter().map(|reading| reading.rows.as_str()).collect();
    assert_eq!(ids_in(&all), ["1", "2", "3", "4", "5"]);
    let last = readings.last().unwrap();
    assert_eq!((last.watermark, last.behind), (Some((at(5), at(5))), false));
    let cursor = last.cursor.clone();
    scene.append("a.ndjson", &row(6));
    assert_eq!(scene.ids(), [""; 0]);
    scene.restart(&cursor);
    assert_eq!(scene.ids(), [""; 0]);
}

#[test]
fn nothing_to_read_is_told() {
    let mut scene = Scene::new("none-*.ndjson", false);
    assert!(matches!(scene.step(), Step::Failed { .. }));
    let mut scene = Scene::new("none-*.ndjson", true);
    let told =
        |scene: &mut Scene| scene.readings().into_iter().map(|reading| reading.nothing).collect::<Vec<_>>();
    assert_eq!(told(&mut scene), [Some("no file matches `none-*.ndjson` yet".to_owned())]);
    assert_eq!(told(&mut scene), [], "once");
    scene.append("none-1.ndjson", &rows([1, 2]));
    assert_eq!(told(&mut scene), [None], "and its end");
}

#[test]
fn rows_ahead_of_the_clock_wait_for_their_time_are_told_of_and_move_no_watermark() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(99);
    scene.append("a.ndjson", &[rows([80, 90]), row(10_900), row(95)].concat());
    let reading = scene.readings().pop().unwrap();
    assert_eq!((ids_in(&reading.rows), reading.ahead), (vec!["80".into(), "90".into(), "95".into()], 1));
    assert_eq!(reading.watermark.unwrap().0, at(95 - 60));
    let told = format!(
        "1 row of `a.ndjson` is dated more than 5 min ahead of now, the first {}, and set aside until then; is the clock or the zone of what writes them right?",
        at(10_900)
    );
    assert_eq!(reading.remarks, [told]);
    // Another one near it confirms nothing.
    scene.append("a.ndjson", &[row(10_901), row(100)].concat());
    let reading = scene.readings().pop().unwrap();
    assert_eq!((ids_in(&reading.rows), reading.ahead), (vec!["100".to_owned()], 2));
    assert_eq!(reading.watermark.unwrap().0, at(100 - 60));
    assert_eq!(reading.remarks, [""; 0], "told of a moment ago");
    scene.restart(&reading.cursor);
    scene.now = at(10_599);
    assert_eq!(scene.ids(), ["10900"]);
    scene.now = at(10_900);
    let reading = scene.readings().pop().unwrap();
    assert_eq!((ids_in(&reading.rows), reading.ahead), (vec!["10901".to_owned()], 0));
}

#[test]
fn a_flood_of_rows_far_ahead_pushes_out_nothing_that_comes_sooner() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.now = at(0);
    scene.append("a.ndjson", &[row(1_000), rows(1_000_000..1_000_300), row(1)].concat());
    let reading = scene.readings().pop().unwrap();
    assert_eq!((ids_in(&reading.rows), reading.ahead), (vec!["1".to_owned()], MAX_HELD as u64));
    assert!(reading.remarks[0].starts_with("301 rows of `a.ndjson` are dated more than 5 min ahead of now"));
    assert!(reading.remarks[0].ends_with(" 101 dated furthest ahead are left out: no more than 200 wait"));
    scene.now = at(1_000);
    assert_eq!(scene.ids(), ["1000"]);
}

#[test]
fn in_files_read_once_a_row_dated_far_ahead_waits_for_another() {
    let mut scene = Scene::new("a.ndjson", false);
    scene.append("a.ndjson", &[rows([1, 2]), row(1_000_000), row(3)].concat());
    let all: String = scene.readings().into_iter().map(|reading| reading.rows).collect();
    assert_eq!(ids_in(&all), ["1", "2", "3"]);
    let mut scene = Scene::new("a.ndjson", false);
    scene.append("a.ndjson", &[rows([1, 2]), rows([1_000_000, 1_000_010]), row(3)].concat());
    assert_eq!(scene.ids().len(), 5);
}

#[test]
fn a_reading_is_bounded_and_all_of_them_are_everything() {
    let mut scene = Scene::new("a.ndjson", true);
    let text = rows(0..150_000);
    assert!(text.len() > 2 * MAX_ROWS);
    scene.append("a.ndjson", &text);
    let readings = scene.readings();
    assert!(readings.iter().all(|reading| reading.rows.len() <= MAX_ROWS + 1));
    assert!(readings[0].behind && !readings.last().unwrap().behind);
    assert!(readings.iter().map(|reading| reading.rows.as_str()).collect::<String>() == text);
}

#[test]
fn what_is_no_text_or_too_long_is_left_out_and_told() {
    let mut scene = Scene::new("a.ndjson", true);
    scene.append("a.ndjson", &row(1));
    let mut bytes = rows([1]).into_bytes();
    bytes.extend_from_slice(b"{\"id\":\"\xff\"}\n");
    bytes.extend(vec![b'x'; 5 << 20]);
    bytes.extend_from_slice(b"\n");
    bytes.extend_from_slice(rows([2, 3]).as_bytes());
    scene.write("a.ndjson", &bytes);
    let readings = scene.readings();
    let all: String = readings.iter().map(|reading| reading.rows.as_str()).collect();
    assert_eq!(ids_in(&all), ["1", "2", "3"]);
    let remarks: Vec<&String> = readings.iter().flat_map(|reading| &reading.remarks).collect();
    assert_eq!(remarks.len(), 2, "{remarks:?}");
    assert!(remarks[0].contains("1 lines are not UTF-8") && remarks[1].contains("a line of more than 4 MiB"));
}

#[test]
fn a_source_is_built_from_its_example_and_tells_what_is_wrong() {
    let build = |text: &str| {
        let mut problems = Problems::new("larum.yaml", text);
        let root = yaml::parse(&mut problems).unwrap();
        let (_, part) = (crate::config::keys::SOURCE.name, &root);
        let options = Options::open(part, &WITH_SHARED, part.span, &mut problems).unwrap();
        let source = build("archive", &options, &Secrets::in_folder("etc"), &mut problems);
        let told: Vec<String> = problems.sorted().iter().map(|problem| problem.message.clone()).collect();
        (source, told)
    };
    let (source, told) = build(KIND.example);
    assert_eq!(told, [""; 0]);
    assert_eq!(source.unwrap().lanes()[0].name, "archive/in/*.ndjson.zst");
    let (_, told) = build("path: \"in/[\"\nevery: 10ms\nfollow: true\n");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(build("path: a\nfields: {}\n").1[0].contains("names no field"));
}

/// The kind's keys with those of every source.
static WITH_SHARED: MapDoc =
    MapDoc { name: KEYS.name, about: KEYS.about, open: Open::Names, keys: KEYS.keys };
