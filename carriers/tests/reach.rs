//! How far a request came is told apart for every way in which a carrier can fail.

use carriers::{
    Begin, CallId, Carrier, CarrierError, Conversation, EligibilityRequest, Misbehaviour, Reach,
    Retry, ScriptAnswer, SeId, json::JsonCarrier,
};
use scp::{Aid, Outbound};
use tokio::net::TcpListener;

mod tsm;
use tsm::{Act, FakeTsm, Pki, http, leg, ok};

fn se() -> SeId {
    SeId::iccid("8981100000000000018").unwrap()
}

fn aid() -> Aid {
    "A000000151535001".parse().unwrap()
}

/// One SELECT, as any script.
async fn send(carrier: &JsonCarrier) -> Result<ScriptAnswer, CarrierError> {
    let conversation = Conversation { id: 7, se: se() };
    let call = CallId::new("call-1").unwrap();
    carrier.send_script(&conversation, &call, Outbound::select(&aid()), 60_000).await
}

/// What becomes of one script, and how often the TSM got it.
async fn after(act: Act) -> (Result<ScriptAnswer, CarrierError>, usize) {
    let pki = Pki::new();
    let mut tsm = FakeTsm::start(&pki, vec![act]).await;
    let outcome = send(&leg(&pki, &tsm)).await;
    (outcome, tsm.requests().len())
}

fn reach(outcome: &Result<ScriptAnswer, CarrierError>) -> Reach {
    outcome.as_ref().unwrap_err().may_have_reached_card()
}

const ANSWERED: &str =
    r#"{"FunctionExecutionStatus":{"Status":"Executed-Success"},"ResponseAPDU":["9000"]}"#;

#[tokio::test]
async fn a_refused_connection_reached_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let carrier = JsonCarrier::new(Pki::new().settings(address)).unwrap();
    let outcome = send(&carrier).await;
    assert_eq!(reach(&outcome), Reach::Never, "{outcome:?}");
    assert_eq!(outcome.unwrap_err().retry(), Retry::Now);
}

#[tokio::test]
async fn a_handshake_that_stalls_reached_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pki = Pki::new();
    let mut settings = pki.settings(listener.local_addr().unwrap());
    settings.connect_timeout_ms = 100;
    let carrier = JsonCarrier::new(settings).unwrap();
    let outcome = send(&carrier).await;
    assert_eq!(reach(&outcome), Reach::Never, "{outcome:?}");
}

#[tokio::test]
async fn a_server_of_another_authority_gets_nothing() {
    let (ours, theirs) = (Pki::new(), Pki::new());
    let mut tsm = FakeTsm::start(&theirs, vec![Act::Answer(ok(ANSWERED))]).await;
    let outcome = send(&leg(&ours, &tsm)).await;
    assert_eq!(reach(&outcome), Reach::Never, "{outcome:?}");
    assert!(tsm.requests().is_empty());
}

#[tokio::test]
async fn a_connection_closed_after_the_request_leaves_it_unknown_and_sends_once() {
    let (outcome, received) = after(Act::AnswerAndClose(Vec::new())).await;
    assert_eq!(reach(&outcome), Reach::Unknown, "{outcome:?}");
    assert_eq!(outcome.unwrap_err().retry(), Retry::OnlyAfterProbe);
    assert_eq!(received, 1);
}

#[tokio::test]
async fn a_truncated_body_leaves_it_unknown() {
    let whole = ok(ANSWERED);
    for length in [10, whole.len() - ANSWERED.len(), whole.len() - 1] {
        let (outcome, received) = after(Act::AnswerAndClose(whole[..length].to_vec())).await;
        assert_eq!(reach(&outcome), Reach::Unknown, "{length}: {outcome:?}");
        assert_eq!(received, 1);
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_leaves_it_unknown() {
    let pki = Pki::new();
    let tsm = FakeTsm::start(&pki, vec![Act::Silence]).await;
    let mut settings = pki.settings(tsm.address);
    settings.answer_timeout_ms = 100;
    let outcome = send(&JsonCarrier::new(settings).unwrap()).await;
    assert_eq!(reach(&outcome), Reach::Unknown, "{outcome:?}");
}

#[tokio::test]
async fn a_busy_carrier_answered_and_says_when_to_come_back() {
    let busy = http("503 Service Unavailable", "Retry-After: 7\r\n", "");
    let (outcome, _) = after(Act::Answer(busy)).await;
    assert_eq!(reach(&outcome), Reach::Answered);
    assert_eq!(outcome.unwrap_err().retry(), Retry::Later { after_ms: 7_000 });
}

#[tokio::test]
async fn answers_outside_the_protocol_are_misbehaviour() {
    let doubled = r#"{"FunctionExecutionStatus":{"Status":"Executed-Success"},"ResponseAPDU":["9000"],"ResponseAPDU":["6A80"]}"#;
    let unknown = r#"{"FunctionExecutionStatus":{"Status":"Executed-Success"},"ResponseAPDU":["9000"],"Note":"x"}"#;
    let odd = r#"{"FunctionExecutionStatus":{"Status":"Executed-Success"},"ResponseAPDU":["900"]}"#;
    for body in ["", "[]", "{", "<xml/>", doubled, unknown, odd] {
        let (outcome, _) = after(Act::Answer(ok(body))).await;
        let error = outcome.unwrap_err();
        let fault = CarrierError::Misbehaved { fault: Misbehaviour::Form(String::new()) };
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&fault), "{body}");
        assert_eq!(error.may_have_reached_card(), Reach::Unknown);
    }
    for status in ["404 Not Found", "302 Found", "201 Created"] {
        let (outcome, _) = after(Act::Answer(http(status, "", ""))).await;
        let code = status[..3].parse().unwrap();
        let fault = Misbehaviour::HttpStatus(code);
        assert_eq!(outcome.unwrap_err(), CarrierError::Misbehaved { fault });
    }
}

#[tokio::test]
async fn more_answers_than_commands_are_misbehaviour() {
    let body = ANSWERED.replace(r#"["9000"]"#, r#"["9000","9000"]"#);
    let (outcome, _) = after(Act::Answer(ok(&body))).await;
    let fault = Misbehaviour::TooManyAnswers { answers: 2, commands: 1 };
    assert_eq!(outcome.unwrap_err(), CarrierError::Misbehaved { fault });
}

#[tokio::test]
async fn an_answer_above_the_limit_is_not_read() {
    let large = ANSWERED.replace("9000", &"90".repeat(40_000));
    let (outcome, _) = after(Act::Answer(ok(&large))).await;
    let fault = Misbehaviour::TooLarge { most: 65_536 };
    assert_eq!(outcome.unwrap_err(), CarrierError::Misbehaved { fault });
}

#[tokio::test]
async fn a_refusal_and_an_expiry_are_told_apart() {
    let refused = r#"{"FunctionExecutionStatus":{"Status":"Failed","StatusCodeData":{"Subject":"8.1","Reason":"3.8","Message":"no"}}}"#;
    let (outcome, _) = after(Act::Answer(ok(refused))).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.may_have_reached_card(), error.retry()), (Reach::Answered, Retry::No));
    let expired = r#"{"FunctionExecutionStatus":{"Status":"Expired"}}"#;
    let (outcome, _) = after(Act::Answer(ok(expired))).await;
    assert_eq!(outcome.unwrap_err(), CarrierError::Expired);
}

#[tokio::test]
async fn functions_share_a_connection_and_use_the_standard_s_names() {
    let status = r#""FunctionExecutionStatus":{"Status":"Executed-Success"}"#;
    let eligible = format!(r#"{{{status},"Eligible":false,"NonEligibilityReason":[3,4]}}"#);
    let begun = format!(r#"{{{status},"ConversationID":42,"Extensions":[{{"Vendor":1}}]}}"#);
    let ended = format!("{{{status}}}");
    let pki = Pki::new();
    let answers = [&*eligible, &*begun, ANSWERED, &*ended].map(|body| Act::Answer(ok(body)));
    let mut tsm = FakeTsm::start(&pki, answers.into_iter().collect()).await;
    let carrier = leg(&pki, &tsm);
    let call = CallId::new("call-1").unwrap();

    let (se, service) = (se(), "jpki".to_owned());
    let request =
        EligibilityRequest { call: call.clone(), se: se.clone(), service: service.clone() };
    let eligibility = carrier.check_eligibility(&request).await.unwrap();
    assert_eq!((eligibility.eligible, eligibility.reasons), (false, vec![3, 4]));
    let begin = Begin { call: call.clone(), se, service, target: aid(), script_bytes_estimate: 9 };
    let conversation = carrier.begin(&begin).await.unwrap();
    assert_eq!(conversation.id, 42);
    let script = Outbound::select(&aid());
    let answer = carrier.send_script(&conversation, &call, script, 1_999).await.unwrap();
    assert_eq!(answer.responses, [[0x90, 0x00]]);
    carrier.end(conversation, &call).await.unwrap();

    let requests = tsm.requests();
    let functions =
        ["CheckGlobalEligibility", "BeginConversation", "SendScript", "EndConversation"];
    for (request, function) in requests.iter().zip(functions) {
        assert!(request.starts_with(&format!("POST /tsm/gp/{function} HTTP/1.1\r\n")), "{request}");
        assert!(request.contains(r#""FunctionCallIdentifier":"call-1""#));
    }
    assert!(requests[1].contains(r#""RequestedScriptFormat":"EXPANDED""#));
    assert!(requests[2].contains(r#""ValidityPeriod":1,"#), "{}", requests[2]);
    assert!(requests[2].contains(r#""CommandAPDU":["00A4040008A00000015153500100"]"#));
    assert_eq!((requests.len(), tsm.connections()), (4, 1));
}

#[tokio::test]
async fn a_connection_closed_while_idle_costs_no_attempt() {
    let pki = Pki::new();
    let acts = vec![Act::AnswerAndClose(ok(ANSWERED)), Act::Answer(ok(ANSWERED))];
    let mut tsm = FakeTsm::start(&pki, acts).await;
    let carrier = leg(&pki, &tsm);
    assert!(send(&carrier).await.is_ok());
    assert!(send(&carrier).await.is_ok());
    assert_eq!(tsm.requests().len(), 2);
}

#[test]
fn tls_material_is_refused_by_file() {
    let pki = Pki::new();
    let mut settings = pki.settings("127.0.0.1:1".parse().unwrap());
    settings.ca_file = pki.path().join("client.key");
    let refused = JsonCarrier::new(settings).err().unwrap().to_string();
    assert!(refused.contains("client.key"), "{refused}");
}
