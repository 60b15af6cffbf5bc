//! Hidden states, scores and similarities that stand beside a study, and what its report makes of
//! them; failed runs in exports.

use std::fs;

use serde_json::Value;

use crate::world::World;

const DEMO: &str = "layers --llm demo --layers 1,3,5,7 --seeds 2 --controls base --epochs 1 --limit-train 120 \
                    --limit-eval 40 --yes";

fn done(world: &World, line: &str) -> String {
    let ended = world.run(line);
    assert_eq!(ended.code, Some(0), "{line}\n{}", ended.err);
    ended.out
}

#[test]
fn scores_and_similarities_of_the_studys_models_stand_in_its_report_and_no_others() {
    let world = World::new();
    done(&world, DEMO);
    let page = || fs::read_to_string(world.path("outputs/demo/report.html")).unwrap();
    assert!(!page().contains("Would cheap scores") && page().contains("Unbeaten"));

    done(&world, "represent --llm demo --task demo --split train --limit 120");
    done(&world, "represent --llm demo --task demo_gadgets --split train --limit 60");
    done(&world, "represent --slm ./slm --task demo --split train --limit 120 --pool mean");
    let said = done(&world, "score demo-llm:demo:train --scores logme,knn --against demo");
    assert!(said.contains("agreement with the gain over base on validation"), "{said}");
    assert!(said.contains("logme") && said.contains("weighted_tau") && said.contains("regret"), "{said}");
    done(&world, "score demo-llm:demo_gadgets:train --scores logme,knn --name gadgets");
    done(&world, "similarity demo-llm:demo:train --measure cka,knn --name inside");
    done(&world, "similarity demo-llm:demo:train slm:demo:train --measure cka --name stranger");

    done(&world, "report outputs/demo");
    let page = page();
    assert!(page.len() < 2_000_000, "{}", page.len());
    for part in [
        "Would cheap scores have chosen it?",
        "How similar layers are",
        "From `../similarity/inside`: demo-llm at embedded:demo-llm:",
        "../similarity/inside/cka.svg",
        "Weighted \u{3c4}",
        "Not shown: `../scores/gadgets`, scores on demo_gadgets; this study is on demo.",
        "another selection of the task&#39;s texts",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("stranger"), "a comparison with another small model");
    for file in ["scores.svg", "scores.png", "report.tex", "report.md"] {
        assert!(world.path("outputs/demo").join(file).is_file(), "{file}");
    }
    // what the report reckons is what the command said
    let json = done(&world, "score demo-llm:demo:train --scores logme,knn --against demo --json");
    let document: Value = serde_json::from_str(&json).unwrap();
    let agreement = document["agreement"].as_array().unwrap();
    let tau =
        agreement.iter().find(|row| row["score"] == "logme" && row["quantity"] == "weighted_tau").unwrap();
    let shown = format!("{:.2} [", tau["value"].as_f64().unwrap()).replace('-', "\u{2212}");
    assert!(page.contains(&shown), "{shown}");

    // a file that is none is named and harms nothing
    world.write("outputs/similarity/inside/similarity.json", "{\"first\": \"<script>alert(1)</script>\"");
    done(&world, "report outputs/demo");
    let page = fs::read_to_string(world.path("outputs/demo/report.html")).unwrap();
    assert!(page.contains("similarity.json` cannot be read") && !page.contains("<script>alert"));
}

#[test]
fn domains_of_a_transfer_study_are_as_far_apart_as_stored_states_say() {
    let world = World::new();
    let line = "transfer --llm demo --train-on demo,demo_gadgets --layers 7 --seeds 1 --controls base --epochs 1 \
                --limit-train 60 --limit-eval 40 --yes --study t";
    done(&world, line);
    let page = || fs::read_to_string(world.path("outputs/t/transfer.html")).unwrap();
    let command = "pifi-probe represent --llm demo --task demo_gadgets --pool mean --out outputs";
    assert!(page().contains(command) && page().contains("is not available"), "{}", page());
    for task in ["demo", "demo_gadgets"] {
        done(&world, &format!("represent --llm demo --task {task} --pool mean"));
        // of another pooling: never mixed with the others
        done(&world, "represent --llm demo --task demo --pool last");
    }
    done(&world, "report outputs/t");
    let table = fs::read_to_string(world.path("outputs/t/distances.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..6], ["model", "site", "layer", "first", "second", "distance"]);
    // embeddings and eight layers, one pair
    assert_eq!(rows.len(), 1 + 9, "{table}");
    for row in &rows[1..] {
        let distance: f64 = row[5].parse().unwrap();
        assert!((0.0..=2.0).contains(&distance) && row[3] == "demo" && row[4] == "demo_gadgets", "{row:?}");
    }
    let page = page();
    assert!(page.contains("How far apart the domains are") && page.contains("layer 7: every pair"), "{page}");
    assert!(page.contains("--slm demo"), "the small model's states are not there");
}

#[test]
fn failed_runs_are_exported_as_failed() {
    let world = World::new();
    // an LLM of numbers that are none: the first loss is none either
    let mut weights = fs::read(world.path("llm/model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    for number in weights[header..].as_chunks_mut::<4>().0 {
        *number = f32::NAN.to_le_bytes();
    }
    world.write("llm/model.safetensors", weights);
    let ended = world.run("STUDY --layers 2 --seeds 1 --controls none --epochs 2");
    assert_eq!(ended.code, Some(3), "{}\n{}", ended.out, ended.err);
    let csv = done(&world, "export llm-slm-reviews --to csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 2, "{csv}");
    assert!(lines[1].contains("failed"), "{csv}");
    let json = done(&world, "export llm-slm-reviews --to json");
    let rows: Value = serde_json::from_str(&json).unwrap();
    assert!(rows[0]["status"] == "failed" && rows[0]["reason"].is_string(), "{json}");
    let ended = world.run("export llm-slm-reviews --to latex");
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("1 failed run left out"), "{}", ended.err);
}

#[test]
fn one_layer_with_two_seeds_is_compared_across_runs() {
    let world = World::new();
    done(&world, "STUDY --layers 2 --seeds 2 --controls none --save all --epochs 2 --batch-size 4 --lr 0.01");
    let ids: Vec<String> = world
        .files("outputs/runs")
        .into_iter()
        .filter_map(|file| file.strip_suffix("/run.json").map(str::to_owned))
        .collect();
    assert_eq!(ids.len(), 2);
    for id in &ids {
        done(&world, &format!("represent --run {id} --task reviews=reviews"));
    }
    let names: Vec<String> = ids.iter().map(|id| format!("run-{}-after", &id[..8])).collect();
    let said =
        done(&world, &format!("similarity {} {} --measure cka,procrustes --name seeds", names[0], names[1]));
    assert!(said.contains("cka: linear CKA, debiased, higher is closer, 16 pairs"), "{said}");
    let text = fs::read(world.path("outputs/similarity/seeds/similarity.json")).unwrap();
    let file: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(
        (&file["first"]["origin"]["source"], &file["second"]["origin"]["revision"]),
        (&"run".into(), &ids[1].clone().into())
    );
    done(&world, "report outputs/llm-slm-reviews");
    let page = fs::read_to_string(world.path("outputs/llm-slm-reviews/report.html")).unwrap();
    assert!(page.contains("../similarity/seeds/procrustes.svg"));
}
