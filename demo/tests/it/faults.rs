//! Each fault, seen from outside.

use classroom::law::ServiceLaw;
use classroom::serve::ServeConfig;
use tokio::time::{Duration, Instant};

use crate::school::{faulty, health, quick, school, stuck_in_store, student, until, visitor};

#[tokio::test]
async fn after_its_uploads_the_service_hangs_while_its_health_answers() {
    let server = school(ServeConfig { drain: Duration::ZERO, ..faulty("hang-after:2") }).await;
    let own = student(&server, 0).await;
    for _ in 0..2 {
        assert_eq!(own.upload("audio/webm", &[1; 6_000]).await.status, 201);
    }
    let (reader, writer) = (own.clone(), own.clone());
    let read = tokio::spawn(async move { reader.browser.get("/api/students/me").await });
    let upload = tokio::spawn(async move { writer.upload("audio/webm", &[1; 6_000]).await });
    let figures = until(&server, |health| health.pool.waiting == 2).await;
    assert_eq!(figures.status, "hung");
    assert_eq!(figures.pool.in_use, figures.pool.size);
    assert_eq!(figures.uploads.accepted, 2);
    assert!(!read.is_finished() && !upload.is_finished());
    assert!(!server.shutdown().await, "hung requests cannot be drained");
    read.abort();
    upload.abort();
}

#[tokio::test]
async fn exactly_the_given_number_of_simultaneous_uploads_passes_the_hang_point() {
    let server = school(ServeConfig { drain: Duration::ZERO, ..faulty("hang-after:3") }).await;
    let mut students = Vec::new();
    for index in 0..8 {
        students.push(student(&server, index).await);
    }
    let uploads: Vec<_> = students
        .into_iter()
        .map(|own| tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await }))
        .collect();
    let figures = until(&server, |health| health.status == "hung" && health.in_flight == 5).await;
    assert_eq!(figures.uploads.accepted, 3);
    for upload in uploads {
        upload.abort();
    }
}

#[tokio::test]
async fn a_held_transaction_keeps_its_connection_across_the_store_call() {
    for (config, held) in [(quick(), 0), (faulty("held-transaction"), 1)] {
        let server = school(stuck_in_store(config)).await;
        let own = student(&server, 0).await;
        let upload = tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await });
        let figures = until(&server, |health| health.slots.in_use == 1).await;
        assert_eq!(figures.pool.in_use, held);
        upload.abort();
    }
}

#[tokio::test]
async fn above_its_limit_the_service_sheds_and_the_client_reads_the_answer() {
    for (fault, status) in [("shed:1", 503), ("shed:1:429", 429)] {
        let server = school(stuck_in_store(faulty(fault))).await;
        let (own, other) = (student(&server, 0).await, student(&server, 1).await);
        let stuck = tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await });
        until(&server, |health| health.in_flight == 1).await;
        let shed = other.upload("audio/webm", &vec![1; 1_500_000]).await;
        assert_eq!((shed.status, shed.header("retry-after")), (status, "1"));
        assert_eq!(health(&server).await.in_flight, 1);
        stuck.abort();
    }
}

#[tokio::test]
async fn a_cut_answer_announces_more_than_it_sends() {
    let server = school(faulty("truncate:1")).await;
    let answer = visitor(&server).get("/api/assignments").await;
    let announced: usize = answer.header("content-length").parse().unwrap();
    assert!(!answer.complete);
    assert_eq!((answer.status, answer.body.len()), (401, announced / 2));
}

#[tokio::test]
async fn a_leak_grows_with_each_upload() {
    let server = school(faulty("leak:100000")).await;
    let own = student(&server, 0).await;
    for _ in 0..3 {
        own.upload("audio/webm", &[1; 6_000]).await;
    }
    assert_eq!(health(&server).await.leaked_bytes, 300_000);
}

#[tokio::test]
async fn a_cold_start_delays_the_first_request() {
    let start = Instant::now();
    let server = school(faulty("cold-start:300")).await;
    visitor(&server).get("/health").await;
    visitor(&server).get("/").await;
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_slow_database_shows_in_its_stages() {
    let law = ServiceLaw { auth_ms: 10.0, db_ms: 20.0, ..quick().law };
    let server = school(ServeConfig { law, ..faulty("slow-db:3") }).await;
    let own = student(&server, 0).await;
    let start = Instant::now();
    let answer = own.upload("audio/webm", &[1; 6_000]).await;
    // Stages are booked end to end: a late wake-up of one shortens the next, never the whole.
    assert!(start.elapsed() >= Duration::from_millis(30 + 60));
    assert!(answer.stage_ms("auth").unwrap() >= 30.0);
}

#[tokio::test]
async fn a_shutdown_finishes_the_uploads_in_flight() {
    let law = ServiceLaw { db_ms: 200.0, ..quick().law };
    let server = school(ServeConfig { law, ..quick() }).await;
    let own = student(&server, 0).await;
    let upload = tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await });
    until(&server, |health| health.pool.in_use == 1).await;
    assert!(server.shutdown().await);
    assert_eq!(upload.await.unwrap().status, 201);
}

#[tokio::test]
async fn work_goes_on_when_its_client_has_gone() {
    let law = ServiceLaw { db_ms: 200.0, ..quick().law };
    let server = school(ServeConfig { law, ..quick() }).await;
    let own = student(&server, 0).await;
    let upload = tokio::spawn(async move { own.upload("audio/webm", &[1; 6_000]).await });
    until(&server, |health| health.pool.in_use == 1).await;
    upload.abort();
    until(&server, |health| health.uploads.accepted == 1).await;
}
