use std::time::Duration;

use super::*;

/// A machine with room for all that [`needs`] says.
fn facts() -> Facts {
    Facts {
        descriptors: 1_000,
        descriptors_own: 40,
        in_flight_max: 900,
        ports: 28_232,
        port_held: Duration::from_mins(1),
        cores: 4,
        load_per_core: Some(0.2),
        is_target_here: false,
        clock_source: Some("tsc".to_owned()),
        clock_read_ns: 40,
        timer_late_ms: Some(0.1),
        connect_ms: Some(0.4),
        connect_from: Some("10.0.0.5".parse().unwrap()),
    }
}

fn needs() -> Needs {
    Needs { connections: 300, in_flight: 200, ports: 5_000 }
}

#[test]
fn a_machine_with_room_has_nothing_to_say() {
    let preflight = judge(&needs(), &facts()).unwrap();
    assert_eq!(preflight.warnings().count(), 0, "{preflight:?}");
    let named: Vec<&str> = preflight.0.keys().map(String::as_str).collect();
    assert_eq!(
        named,
        ["clock", "cpu", "descriptors", "in_flight", "ports", "route", "target_apart", "timer"]
    );
    assert!(preflight.0.values().all(|check| check.pass));
}

#[test]
fn each_tight_fact_is_one_warning_with_its_remedy() {
    let hpet = Some("hpet".to_owned());
    let tight: [(&str, Facts, &str); 8] = [
        ("descriptors", Facts { descriptors: 639, ..facts() }, "not if it answers slower; 640 would"),
        ("in_flight", Facts { in_flight_max: 199, ..facts() }, "raise --in-flight-max"),
        ("ports", Facts { ports: 5_299, ..facts() }, "--source-addresses"),
        ("target_apart", Facts { is_target_here: true, ..facts() }, "target and generator share 4 cores"),
        ("cpu", Facts { load_per_core: Some(1.5), ..facts() }, "1.5 threads for each core"),
        ("clock", Facts { clock_source: hpet, clock_read_ns: 1_200, ..facts() }, "clocksource hpet"),
        ("timer", Facts { timer_late_ms: Some(3.2), ..facts() }, "ended 3.2 ms late"),
        ("route", Facts { connect_ms: Some(80.0), ..facts() }, "from 10.0.0.5 takes 80 ms"),
    ];
    for (name, facts, said) in tight {
        let preflight = judge(&needs(), &facts).unwrap();
        let warnings: Vec<&str> = preflight.warnings().collect();
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{name}: {warnings:?}");
        assert!(!preflight.check(name).unwrap().pass, "{name}");
    }
}

#[test]
fn what_just_suffices_is_not_tight() {
    let just = Facts {
        descriptors: 640,
        in_flight_max: 200,
        ports: 5_300,
        load_per_core: Some(LOAD_PER_CORE_MAX),
        timer_late_ms: Some(TIMER_LATE_MS_MAX),
        connect_ms: Some(CONNECT_MS_MAX),
        ..facts()
    };
    assert_eq!(judge(&needs(), &just).unwrap().warnings().count(), 0);
}

#[test]
fn what_cannot_work_is_an_error_with_its_remedy() {
    let of = |facts: Facts| judge(&needs(), &facts);
    assert!(of(Facts { descriptors: 340, ..facts() }).is_ok());
    let too_few = of(Facts { descriptors: 339, ..facts() }).unwrap_err();
    let expected = Impossible::Descriptors { connections: 300, descriptors: 339, own: 40, enough: 640 };
    assert_eq!(too_few, expected);
    assert!(too_few.to_string().contains("LimitNOFILE=640"), "{too_few}");
    assert!(of(Facts { ports: 300, ..facts() }).is_ok());
    let too_few = of(Facts { ports: 299, ..facts() }).unwrap_err();
    assert_eq!(too_few, Impossible::Ports { connections: 300, ports: 299 });
    assert!(too_few.to_string().contains("--source-addresses 127.0.1.0/24"), "{too_few}");
}

#[test]
fn what_is_not_known_is_left_out() {
    let unknown = Facts { load_per_core: None, timer_late_ms: None, connect_ms: None, ..facts() };
    let preflight = judge(&needs(), &unknown).unwrap();
    assert_eq!(preflight.warnings().count(), 0);
    assert!(["cpu", "timer", "route"].into_iter().all(|name| preflight.check(name).is_none()));
}
