//! Charts, checks and comparisons.

use super::*;

#[test]
fn changed_figures_fail_the_check_with_old_and_new_values() {
    let measure = |allocations| {
        Ladder::new(hello(), [get("/")])
            .step("step", allocates(allocations, 8))
            .instructions(Instructions::Off)
            .rounds(3)
            .run()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overhead.json");
    let stored = measure(2);
    stored.write_json(&file).unwrap();
    measure(2).check_against(&file, Tolerance::default()).unwrap();
    measure(3).check_against(&file, Tolerance::allocations(1)).unwrap();
    for changed in [3, 1] {
        let error = measure(changed).check_against(&file, Tolerance::default()).unwrap_err();
        let expected = format!("GET /, \"step\": 3 -> {} allocations", changed + 1);
        assert!(error.to_string().contains(&expected), "{error}");
    }
    let mut renamed = Report::read_json(&file).unwrap();
    renamed.requests[0].steps[1].name = "other".to_owned();
    assert!(renamed.check_against(&file, Tolerance::default()).is_err());
    let mut slower = Report::read_json(&file).unwrap();
    slower.requests[0].steps[1].total.instructions = Some(1030);
    slower.write_json(&file).unwrap();
    slower.requests[0].steps[1].total.instructions = Some(1000);
    let error = slower.check_against(&file, Tolerance::default()).unwrap_err();
    assert!(error.to_string().contains("1030 -> 1000 instructions (-2.9 %)"), "{error}");
    slower.check_against(&file, Tolerance::default().instructions_percent(5.0)).unwrap();
    assert!(slower.check_against(folder.path().join("none.json"), Tolerance::default()).is_err());
}

#[test]
fn chart_has_a_bar_for_each_step_and_both_schemes() {
    let report = Ladder::new(hello(), [get("/")])
        .step("slow <step>", computes(3000))
        .instructions(Instructions::Off)
        .rounds(3)
        .run()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("overhead.svg");
    report.write_svg(&file).unwrap();
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
    assert!(svg.contains("slow &lt;step&gt;"), "{svg}");
    assert_eq!(svg.matches("<rect x=").count(), 2, "{svg}");
}

#[test]
fn chart_of_a_growing_cost_has_a_line_for_each_subject() {
    let set = |size: usize| {
        let work = move |name: &str, times: usize| {
            Subject::work(name, move || vec![black_box(1_u8); black_box(size * times)])
        };
        [work("once", 1), work("twice", 2)]
    };
    let comparison = Comparison::new("Bytes").instructions(Instructions::Off).rounds(3);
    let report = comparison.set("100", set(100)).set("10000", set(10_000)).run().unwrap();
    assert!(report.is_growth());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("growth.svg");
    report.write_svg(&file).unwrap();
    let svg = std::fs::read_to_string(&file).unwrap();
    assert!(svg.contains("prefers-color-scheme:dark"), "{svg}");
    assert!(svg.contains("once") && svg.contains("twice") && svg.contains("10000"), "{svg}");
    assert!(svg.matches("<polyline").count() >= 2, "{svg}");
}

#[test]
fn time_is_not_measured_without_rounds() {
    let report = Ladder::new(hello(), [get("/")])
        .step("two", allocates(2, 8))
        .instructions(Instructions::Off)
        .rounds(0)
        .run()
        .unwrap();
    let step = &report.requests[0].steps[1];
    assert_eq!(step.added.unwrap().allocations, Some(2));
    assert!(step.total.nanos.is_none() && step.cold.is_none() && step.contended.is_none());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    report.write_json(&file).unwrap();
    assert!(!std::fs::read_to_string(&file).unwrap().contains("nanos"));
    report.check_against(&file, Tolerance::default()).unwrap();
}

#[test]
fn compares_services_and_closures_with_the_first_of_their_set() {
    let vector = |bytes: usize| move || Vec::<u8>::with_capacity(black_box(bytes));
    let comparison = || {
        Comparison::new("Sets")
            .set(
                "services",
                [
                    Subject::service("bare service", hello(), || get("/")),
                    Subject::service("three", allocates(3, 100).layer(hello()), || get("/")),
                    Subject::service("two", allocates(2, 10).layer(hello()), || get("/")),
                ],
            )
            .set("closures", [Subject::work("old", vector(10)), Subject::work("new", vector(30))])
            .instructions(Instructions::Off)
            .rounds(3)
    };
    let report = comparison().run().unwrap();
    let [services, closures] = &report.requests[..] else { panic!("two sets") };
    let added = |step: &palisade_bench::StepReport| {
        let added = step.added.unwrap();
        assert!(added.nanos.is_some() && step.saved.is_none());
        (added.allocations.unwrap(), added.bytes.unwrap())
    };
    assert!(services.steps[0].added.is_none());
    assert_eq!([added(&services.steps[1]), added(&services.steps[2])], [(3, 300), (2, 20)]);
    assert_eq!(added(&closures.steps[1]), (0, 20));
    assert_eq!((services.status, services.steps[0].status), (None, Some(200)));
    assert_eq!((closures.steps[0].status, closures.steps[0].future_bytes), (None, None));
    assert!(closures.steps[0].total.nanos.unwrap().median > 0.0);
    assert!(report.to_markdown().contains("## Sets: closures\n"), "{}", report.to_markdown());

    let kept = comparison()
        .retain(|set, subject| set == "closures" && subject.name() == "new")
        .rounds(0)
        .run()
        .unwrap();
    assert_eq!(kept.requests.len(), 1);
    assert_eq!(kept.requests[0].steps.len(), 1);
    let nothing = comparison().retain(|_, _| false).run();
    assert!(matches!(nothing, Err(Error::NoRequests)));
}
