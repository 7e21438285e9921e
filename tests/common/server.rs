//! A small HTTP server on this machine that speaks as much of OpenAI's interface as a test wants.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

/// What a test answers.
pub struct Answer {
    pub status: u16,
    pub headers: &'static str,
    pub body: String,
    /// Before anything is sent.
    pub delay: Duration,
}

impl Answer {
    pub fn json(value: Value) -> Answer {
        Answer::status(200, value.to_string())
    }

    pub fn status(status: u16, body: impl Into<String>) -> Answer {
        Answer {
            status,
            headers: "",
            body: body.into(),
            delay: Duration::ZERO,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub path: String,
    pub authorization: Option<String>,
    pub body: Value,
}

pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves until the process ends.
    pub fn start(answer: impl Fn(&Request, usize) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (all, answer) = (seen.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (all, answer) = (all.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    // Connections are kept open, as real servers keep them.
                    while let Some(request) = read(&mut reader) {
                        let number = {
                            let mut all = all.lock().unwrap();
                            all.push(request.clone());
                            all.len()
                        };
                        let reply = answer(&request, number);
                        std::thread::sleep(reply.delay);
                        let head = format!(
                            "HTTP/1.1 {} X\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n",
                            reply.status,
                            reply.headers,
                            reply.body.len()
                        );
                        let mut stream = &stream;
                        if stream.write_all((head + &reply.body).as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Server { url, seen }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "authorization" => authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        path,
        authorization,
        body: serde_json::from_slice(&body).ok()?,
    })
}

/// What a fake model can do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Skill {
    /// Chat without log-probabilities.
    Plain,
    /// Chat with them.
    Logprobs,
    /// Completions that echo, too.
    Echo,
}

/// A model that knows one thing: every unit fires on `word`. Its numbers are unsure by one step.
pub fn model(word: &'static str, skill: Skill) -> impl Fn(&Request, usize) -> Answer {
    move |request, _| match (request.path.as_str(), skill) {
        ("/v1/chat/completions", _) => chat(word, skill, &request.body),
        ("/v1/completions", Skill::Echo) => completion(word, &request.body),
        _ => Answer::status(404, r#"{"error": {"message": "no such thing here"}}"#),
    }
}

fn chat(word: &str, skill: Skill, body: &Value) -> Answer {
    if skill == Skill::Plain && body.get("logprobs").is_some() {
        return Answer::status(
            400,
            r#"{"error": {"message": "logprobs are not supported"}}"#,
        );
    }
    let messages = body["messages"].as_array().unwrap();
    let asked = messages.last().unwrap()["content"].as_str().unwrap();
    let task = messages[0]["content"].as_str().unwrap();
    let rows = || {
        let rows = asked
            .lines()
            .filter_map(|l| l.split_once(": ")?.1.strip_prefix('"'));
        rows.map(|r| r.strip_suffix('"').unwrap())
    };
    let numbers: Vec<u32> = if task.contains("\"activations\"") {
        rows().map(|r| if r == word { 9 } else { 0 }).collect()
    } else if task.contains("marked") {
        let marked = |r: &str| r.contains(&format!("«{word}»"));
        rows().map(|r| u32::from(marked(r))).collect()
    } else if task.contains("\"answers\"") {
        rows().map(|r| u32::from(r.contains(word))).collect()
    } else {
        let choice =
            json!({"message": {"role": "assistant", "content": format!("the word \"{word}\".")}});
        let mut choice = choice;
        if body.get("logprobs").is_some() {
            choice["logprobs"] = json!({"content": [token("the", &[("the", 0.9)])]});
        }
        return Answer::json(json!({"choices": [choice]}));
    };
    let mut text = String::from("{\"list\": ");
    let mut tokens = vec![token("{\"list\": ", &[("{", 0.5)])];
    for (i, n) in numbers.iter().enumerate() {
        let before = if i == 0 { "[" } else { ", " };
        text.push_str(&format!("{before}{n}"));
        tokens.push(token(before, &[(before, 1.0)]));
        let other = if *n > 0 { n - 1 } else { n + 1 };
        tokens.push(token(
            &n.to_string(),
            &[
                (&n.to_string(), 0.7),
                (&other.to_string(), 0.1),
                ("the", 0.1),
            ],
        ));
    }
    text.push_str("]}");
    tokens.push(token("]}", &[("]}", 1.0)]));
    let mut choice = json!({"message": {"role": "assistant", "content": text}});
    if body.get("logprobs").is_some() {
        choice["logprobs"] = json!({"content": tokens});
    }
    Answer::json(json!({"choices": [choice]}))
}

fn token(text: &str, top: &[(&str, f64)]) -> Value {
    let top: Vec<Value> = top
        .iter()
        .map(|(t, p)| json!({"token": t, "logprob": p.ln()}))
        .collect();
    json!({"token": text, "logprob": -0.1, "top_logprobs": top})
}

/// Rows of the prompt as tokens: what stands before the tab, the tab, the number or "unknown", the line's end; some
/// words in halves.
fn completion(word: &str, body: &Value) -> Answer {
    let prompt = body["prompt"].as_str().unwrap();
    let (mut tokens, mut tops) = (Vec::new(), Vec::new());
    for line in prompt.split_inclusive('\n') {
        let Some((before, after)) = line.split_once('\t') else {
            for word in line.split_inclusive(' ') {
                tokens.push(word.to_owned());
                tops.push(json!({"x": -1.0}));
            }
            continue;
        };
        let middle = before.chars().count() / 2;
        let half = before.char_indices().nth(middle).map_or(0, |(i, _)| i);
        for part in [&before[..half], &before[half..]] {
            if !part.is_empty() {
                tokens.push(part.to_owned());
                tops.push(json!({part: -0.5}));
            }
        }
        // The tab in one token with what follows, as some tokenizers have it.
        tokens.push(format!("\t{}", after.trim_end()));
        tops.push(if before == word {
            json!({"\t9": (0.6f64).ln(), "\t8": (0.2f64).ln(), "\tunknown": (0.1f64).ln()})
        } else {
            json!({"\t0": (0.9f64).ln(), "\tunknown": (0.05f64).ln()})
        });
        tokens.push("\n".to_owned());
        tops.push(json!({"\n": -0.01}));
    }
    tops[0] = Value::Null;
    Answer::json(json!({"choices": [{
        "text": prompt,
        "logprobs": {"tokens": tokens, "token_logprobs": [], "top_logprobs": tops},
    }]}))
}
