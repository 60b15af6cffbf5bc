//! Reports of studies with known truth: what the first sentence says, that nothing from outside
//! gets out of its place, and that the files hold what they promise.

use super::answer::further_sentences;
use super::*;
use crate::analysis::layers::synthetic::{Made, hump};
use crate::analysis::layers::{Condition, LayerAnswer};
use crate::analysis::statistics::Estimate;
use crate::analysis::statistics::winner::Corrected;

/// An answer of 32 layers whose claims are set to the given numbers, in points:
/// (against, value, low, high).
fn answer(tied: Vec<usize>, chosen: usize, claims: &[(Condition, f64, f64, f64)]) -> LayerAnswer {
    let made = Made { examples: 100, ..Made::new(hump(32, 0.2)) };
    let mut answer = made.study().answer().unwrap();
    answer.llm = "llama3-8b".to_owned();
    answer.slm = "bert-base".to_owned();
    answer.tied = tied;
    answer.chosen = chosen;
    for row in &mut answer.test.as_mut().unwrap().conditions {
        row.metric.mean = 0.9124;
    }
    let contrast = answer.claims[0].contrast.clone();
    answer.claims = claims
        .iter()
        .map(|(against, value, low, high)| {
            let (value, low, high) = (value / 100.0, low / 100.0, high / 100.0);
            let estimate = Estimate { value, low, high, standard_error: 0.002, n: 1821 };
            let contrast = crate::analysis::layers::Contrast { estimate, ..contrast.clone() };
            crate::analysis::layers::Claim { against: against.clone(), contrast }
        })
        .collect();
    answer
}

fn last() -> Condition {
    Condition::Layer(31)
}

#[test]
fn tied_layers_are_named_first_and_the_gain_has_its_interval() {
    let answer =
        answer((17..25).collect(), 21, &[(Condition::base(), 0.6, 0.2, 1.0), (last(), 0.3, -0.1, 0.7)]);
    assert_eq!(
        first_sentence(&answer, false),
        "Layers 17–24 of llama3-8b cannot be told apart on sst2; layer 21 was chosen on validation and has on test \
         +0.6 points over no plug (95% interval +0.2 to +1.0), +0.3 over the last layer (−0.1 to +0.7); no plug has \
         91.2%."
    );
    let synthetic = first_sentence(&answer, true);
    assert!(synthetic.starts_with("On synthetic data, made to try the program: Layers 17–24"), "{synthetic}");
}

#[test]
fn a_clear_winner_is_said_to_be_the_best() {
    let answer = answer(vec![21], 21, &[(Condition::base(), 2.0, 1.1, 2.9), (last(), 1.0, 0.4, 1.6)]);
    assert_eq!(
        first_sentence(&answer, false),
        "Layer 21 of llama3-8b is the best of 32 layers on sst2; it was chosen on validation and has on test +2.0 \
         points over no plug (95% interval +1.1 to +2.9), +1.0 over the last layer (+0.4 to +1.6); no plug has 91.2%."
    );
}

#[test]
fn what_the_pick_flatters_is_told_where_there_was_one() {
    let mut answer = answer(vec![21], 21, &[(Condition::base(), 2.0, 1.1, 2.9)]);
    let estimate = Estimate { value: 0.912, low: 0.9, high: 0.93, standard_error: 0.004, n: 872 };
    answer.corrected = Ok(Corrected { condition: 21, observed: 0.918, surplus: 0.006, corrected: estimate });
    let text = further_sentences(&answer);
    let told = "Being picked as the best of 32 layers flatters layer 21 on validation by about 0.6 points: without \
                that it has 91.2% (90.0 to 93.0), not 91.8%.";
    assert!(text.contains(told), "{text}");
    answer.behind.truncate(1);
    assert!(!further_sentences(&answer).contains("flatters"));
}

#[test]
fn a_plug_that_hurts_is_said_to_hurt() {
    let answer = answer(vec![4, 5], 5, &[(Condition::base(), -0.9, -1.4, -0.4), (last(), 0.5, 0.1, 0.9)]);
    assert_eq!(
        first_sentence(&answer, false),
        "Plugging a layer of llama3-8b into bert-base hurts on sst2: layer 5, the best on validation, has on test \
         −0.9 points over no plug (95% interval −1.4 to −0.4), +0.5 over the last layer (+0.1 to +0.9); no plug has \
         91.2%."
    );
}

#[test]
fn a_gain_that_is_not_shown_is_not_claimed() {
    let answer =
        answer((0..32).collect(), 3, &[(Condition::base(), -0.1, -0.6, 0.4), (last(), 0.0, -0.4, 0.4)]);
    assert_eq!(
        first_sentence(&answer, false),
        "The 32 layers of llama3-8b cannot be told apart on sst2, and none is shown to beat no plug: layer 3, chosen \
         on validation, has on test −0.1 points over no plug (95% interval −0.6 to +0.4), 0.0 over the last layer \
         (−0.4 to +0.4); no plug has 91.2%."
    );
}

#[test]
fn the_last_layer_as_the_best_is_called_so() {
    let answer = answer(vec![30, 31], 31, &[(Condition::base(), 0.6, 0.2, 1.0)]);
    assert_eq!(
        first_sentence(&answer, false),
        "Layers 30, 31 of llama3-8b cannot be told apart on sst2; layer 31, the last layer, was chosen on validation \
         and has on test +0.6 points over no plug (95% interval +0.2 to +1.0); no plug has 91.2%."
    );
}

#[test]
fn the_last_layer_as_the_best_has_no_comma_too_many_whatever_the_verdict() {
    let sentence = |tied: Vec<usize>, gain: (f64, f64, f64)| {
        let (value, low, high) = gain;
        first_sentence(&answer(tied, 31, &[(Condition::base(), value, low, high)]), false)
    };
    let undecided = sentence(vec![30, 31], (0.1, -0.2, 0.4));
    assert!(
        undecided
            .contains("beat no plug: layer 31, the last layer and the one chosen on validation, has on test"),
        "{undecided}"
    );
    let single = sentence(vec![31], (0.1, -0.2, 0.4));
    assert!(
        single.contains("sst2, and it is not shown to beat no plug: layer 31, the last layer and"),
        "{single}"
    );
    let hurts = sentence(vec![30, 31], (-0.6, -1.0, -0.2));
    assert!(
        hurts.contains("hurts on sst2: layer 31, the last layer and the best on validation, has on test"),
        "{hurts}"
    );
    let alone = sentence(vec![31], (0.6, 0.2, 1.0));
    assert!(alone.contains("; it, the last layer, was chosen on validation"), "{alone}");
    let mut unknown = answer(vec![31], 31, &[]);
    unknown.claims.clear();
    let unknown = first_sentence(&unknown, false);
    assert!(unknown.contains("layer 31, the last layer, was chosen on validation"), "{unknown}");
    for text in [undecided, single, hurts, alone, unknown] {
        assert!(!text.contains(",,") && !text.contains(", ,"), "{text}");
    }
}

#[test]
fn one_seed_and_a_missing_base_are_admitted_in_the_first_sentence() {
    let mut answer = answer(vec![21], 21, &[(last(), 0.3, -0.1, 0.7)]);
    answer.seeds = vec![1];
    assert_eq!(
        first_sentence(&answer, false),
        "Layer 21 of llama3-8b is the best of 32 layers on sst2; layer 21 was chosen on validation and has 91.2% on \
         test, but no cell without a plug has finished, so whether it gains anything is unknown (one seed: the luck \
         of training is not in these intervals)."
    );
}

fn context() -> ReportContext {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    ReportContext {
        title: "Layers of Llama-3.1-8B for bert-base-uncased on sst2".to_owned(),
        command: "pifi-probe layers --llm llama3.1-8b --slm bert-base --task sst2 --eval cr,mr".to_owned(),
        manifest: vec![
            pair("LLM", "meta-llama/Llama-3.1-8B at d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"),
            pair("small model", "google-bert/bert-base-uncased at 86b5e0934494bd15c9632b12f734a8a67f723594"),
            pair("program", "pifi-probe 0.1.0"),
            pair("device", "cpu, 8 threads"),
        ],
        cost: vec![
            pair("training", "3 h 12 min in 105 cells"),
            pair("downloaded", "12.2 GiB (376 MiB a layer)"),
        ],
        failures: vec![pair("layer 3, seed 2", "the loss is not finite after step 412")],
        synthetic: false,
        notes: vec!["12 texts were truncated to 100 tokens".to_owned()],
        ..ReportContext::default()
    }
}

fn study() -> LayerAnswer {
    let made =
        Made { domains: vec!["cr", "mr"], overlap_every: 5, examples: 872, ..Made::new(hump(32, 0.16)) };
    let mut study = made.study();
    study.cells.retain(|cell| !(cell.condition == Condition::Layer(3) && cell.seed == 2));
    study.answer().unwrap()
}

#[test]
fn all_files_are_written_and_nothing_half_written_remains() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("new/study");
    let written = write(&dir, &study(), &context()).unwrap();
    let mut found: Vec<String> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let expected = [
        "best.csv",
        "best.png",
        "best.svg",
        "layers.csv",
        "layers.png",
        "layers.svg",
        "report.html",
        "report.json",
        "report.md",
        "report.tex",
        "transfer.csv",
        "transfer.png",
        "transfer.svg",
    ];
    assert_eq!(found, expected);
    assert_eq!(written.len(), expected.len());
    assert!(written.iter().all(|path| path.is_file()));
}

#[test]
fn an_unwritable_folder_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write(&file.join("below"), &study(), &context()).unwrap_err();
    assert!(error.to_string().contains("below") && error.hint().is_some(), "{error}");
}

#[test]
fn names_from_outside_cannot_leave_their_place() {
    let hostile = "<script>alert(1)</script><!--\"'><img src=x onerror=y>|`**[a](http://b)";
    let mut answer = study();
    answer.llm = hostile.to_owned();
    answer.slm = hostile.to_owned();
    answer.task = hostile.to_owned();
    answer.domains[0].name = hostile.to_owned();
    let mut context = context();
    context.title = hostile.to_owned();
    context.command = format!("pifi-probe layers --llm '{hostile}'");
    context.failures.push((hostile.to_owned(), hostile.to_owned()));
    context.notes.push(hostile.to_owned());
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &answer, &context).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for name in ["report.html", "layers.svg", "transfer.svg"] {
        let text = read(name);
        // the page's own script and its data open with something else
        assert!(!text.contains("<script>alert") && !text.contains("<img"), "{name}");
        assert!(text.contains("&lt;script&gt;") || name == "transfer.svg", "{name}");
    }
    let page = read("report.html");
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["title"], hostile);
    assert_eq!(data["answer"]["llm"], hostile);
    assert_eq!(data, serde_json::from_str::<serde_json::Value>(&read("report.json")).unwrap());
    let latex = read("report.tex");
    assert!(latex.contains("\\textless{}script\\textgreater{}alert(1)") && !latex.contains("<script"));
    let markdown = read("report.md");
    let outside_code = markdown.split("```").step_by(2).collect::<String>();
    assert!(!outside_code.contains("<script") && !outside_code.contains("[a]("), "{outside_code}");
    // the table keeps its columns
    let line = markdown.lines().find(|line| line.starts_with("| &lt;script")).unwrap();
    let bars = line.match_indices('|').filter(|(at, _)| *at == 0 || !line[..*at].ends_with('\\')).count();
    assert!(bars == 3 || bars == 9, "{line}");
}

#[test]
fn the_page_loads_nothing_and_runs_nothing_but_its_own_script() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &study(), &context()).unwrap();
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    let between = |open: &str, close: &str| page.split_once(open).unwrap().1.split_once(close).unwrap().0;
    let (style, script) = (between("<style>", "</style>"), between("<script>", "</script>"));
    // the policy allows exactly these two by what they are
    let allowed = |text: &str| {
        use sha2::Digest;
        format!("'sha256-{}'", html::base64(&sha2::Sha256::digest(text)))
    };
    assert_eq!(
        between("http-equiv=\"Content-Security-Policy\" content=\"", "\""),
        format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            allowed(style),
            allowed(script)
        )
    );
    assert!(!page.contains("unsafe-") && script.len() < 20_000 && script.is_ascii());
    let markup = page.replacen(script, "", 1);
    for word in
        ["src=", "<link", "<iframe", "<img", "<object", "@import", "url(", " style=", " onload", " onclick"]
    {
        assert!(!markup.contains(word), "the page has `{word}`");
    }
    for word in ["fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon", "innerHTML", "eval("] {
        assert!(!script.contains(word), "the script has `{word}`");
    }
    // links lead to places of the page itself
    assert_eq!(markup.matches("href=").count(), markup.matches("href=\"#s").count());
    // the only addresses are the names of XML namespaces
    for (at, _) in page.match_indices("http") {
        assert!(page[at..].starts_with("http-equiv") || page[at..].starts_with("http://www.w3.org/2000/svg"));
    }
    assert!(page.len() < 2_000_000, "{}", page.len());
    assert_eq!(page.matches("<svg ").count(), 3);
    assert_eq!(page.matches("<svg role=\"img\" aria-label=").count(), 3);
    for (open, close) in [("<table ", "</table>"), ("<section ", "</section>"), ("<figure>", "</figure>")] {
        assert_eq!(page.matches(open).count(), page.matches(close).count(), "{open}");
    }
}

#[test]
fn the_largest_studies_stay_below_two_megabytes() {
    let domains = vec!["cr", "mr", "imdb", "yelp", "amazon", "tweets", "hotels", "gadgets"];
    let made = Made { domains, seeds: 5, overlap_every: 5, examples: 60, ..Made::new(hump(80, 0.16)) };
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &made.study().answer().unwrap(), &context()).unwrap();
    let size = std::fs::metadata(folder.path().join("report.html")).unwrap().len();
    assert!(size < 2_000_000, "{size}");
}

#[test]
fn every_chart_of_the_page_tells_its_values_and_has_a_table_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let answer = study();
    write(folder.path(), &answer, &context()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let page = read("report.html");
    for name in ["layers", "best", "transfer"] {
        assert!(page.contains(&format!("Also as {name}.svg and {name}.png.")), "{name}");
        assert!(page.contains(&format!("Numbers: {name}.csv.")), "{name}");
        assert!(read(&format!("{name}.csv")).lines().count() > 1);
    }
    // a layer and control of the first chart, a compared layer of the second, a field of the third
    let spots = |name: &str| read(name).matches("<rect class=\"spot\"").count();
    assert_eq!(spots("layers.svg"), 32 + 3);
    assert_eq!(spots("best.svg"), answer.best_probability.len());
    assert_eq!(spots("transfer.svg"), 3 * (32 + 2));
    let chosen = answer.validation.get(&Condition::Layer(answer.chosen)).unwrap();
    let title = format!("<title>layer {} (chosen)\naccuracy {} %", answer.chosen, text::mean(&chosen.metric));
    assert!(page.contains(&title), "{title}");
}

#[test]
fn the_first_sentence_opens_the_page_and_the_same_content_is_in_markdown() {
    let folder = tempfile::tempdir().unwrap();
    let (answer, mut context) = (study(), context());
    context.synthetic = true;
    write(folder.path(), &answer, &context).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let (page, markdown) = (read("report.html"), read("report.md"));
    let sentence = first_sentence(&answer, true);
    assert!(page.contains(&format!("</h1>\n<p class=\"lead\">{}</p>", html::escape(&sentence))));
    let lines: Vec<&str> = markdown.lines().collect();
    assert!(lines[0].starts_with("# ") && lines[0].ends_with("(synthetic data)"));
    assert_eq!(lines[2], markdown::escape(&sentence));
    let mut before = 0;
    for heading in [
        "What the chosen layer gains",
        "The metric by layer",
        "How sure is the choice?",
        "All conditions",
        "Does it carry over to other domains?",
        "Cost",
        "Failures",
        "Warnings",
        "What was chosen on what",
        "Notes",
        "Manifest",
    ] {
        let place = page.find(&format!("<h2>{heading}</h2>"));
        assert!(place > Some(before), "{heading} is not after what stands before it");
        before = place.unwrap();
        assert!(markdown.contains(&format!("## {heading}\n")), "{heading}");
    }
    for text in ["layer 3, seed 2", "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b", "12 texts were truncated"] {
        assert!(page.contains(text) && markdown.contains(text), "{text}");
    }
}

#[test]
fn test_results_are_shown_for_the_chosen_and_the_last_layer_and_the_controls_only() {
    let answer = study();
    let figures = sections::Figures::default();
    let document = sections::document(&answer, &context(), figures).unwrap();
    let table = document
        .sections
        .iter()
        .find(|section| section.title == "All conditions")
        .and_then(|section| match &section.blocks[0] {
            document::Block::Table(table) => Some(table),
            _ => None,
        })
        .unwrap();
    let shown: Vec<&str> = table
        .rows
        .iter()
        .filter(|row| row.cells.last().is_some_and(|cell| cell != "–"))
        .map(|row| row.cells[0].as_str())
        .collect();
    let chosen = format!("layer {} (chosen)", answer.chosen);
    assert_eq!(shown, [chosen.as_str(), "layer 31 (last)", "no plug", "mappers only", "random layer"]);
    assert!(table.rows.iter().all(|row| row.cells.len() == table.header.len()));
}

#[test]
fn csv_rows_have_the_documented_columns() {
    let answer = study();
    let text = csv::layers(&answer);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|other| *other == name).unwrap();
    assert_eq!(&header[..5], ["condition", "layer", "role", "seeds", "validation_mean"]);
    assert_eq!(&header[header.len() - 3..], ["validation_seed_1", "validation_seed_2", "validation_seed_3"]);
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 35);
    assert!(rows.iter().all(|row| row.len() == header.len()));
    // layer 3 lost seed 2
    assert_eq!(rows[3][column("seeds")], "2");
    assert_eq!(rows[3][column("validation_seed_2")], "");
    assert_eq!(rows[3][column("p_best")], "");
    let chosen = &rows[answer.chosen];
    assert_eq!((chosen[column("role")], chosen[column("tied")]), ("chosen", "true"));
    let mean: f64 = chosen[column("validation_mean")].parse().unwrap();
    let row = answer.validation.get(&Condition::Layer(answer.chosen)).unwrap();
    assert!((mean - row.metric.mean).abs() < 1e-6);
    let transfer = csv::transfer(&answer);
    let mut lines = transfer.lines();
    let columns = lines.next().unwrap().split(',').count();
    assert!(lines.clone().all(|line| line.split(',').count() == columns));
    assert_eq!(lines.count(), 4 * 35);
}

#[test]
fn studies_of_every_shape_have_a_report() {
    let with = |made: Made| made.study().answer().unwrap();
    let shapes = [
        with(Made { examples: 60, ..Made::new(vec![0.1]) }),
        with(Made { examples: 60, seeds: 1, domains: vec!["mr"], ..Made::new(hump(3, 0.2)) }),
        with(Made { examples: 60, controls: vec![], domains: vec!["mr"], ..Made::new(hump(4, 0.2)) }),
    ];
    for answer in shapes {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &answer, &ReportContext::default()).unwrap();
        let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
        let (_, body) = page.split_once("</head>").unwrap();
        assert!(!body.contains("NaN") && !body.contains("inf%"));
    }
}
