// SPDX-License-Identifier: Apache-2.0

//! The plugin of tests/sdk/README.md in Rust, with the proxy-wasm crate as any author uses it. Nothing here may be
//! known to Weir alone.

use log::{error, info};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext, StreamContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MetricType, PeerType, Status};
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Suite::default()) });
}}

#[derive(Clone, Default)]
struct Suite {
    behaviour: String,
    argument: String,
    queue: u32,
    counter: u32,
    gauge: u32,
    histogram: u32,
}

impl Suite {
    /// The consumer may be configured later than the producer.
    fn find_queue(&mut self) -> bool {
        if self.queue == 0 {
            let (vm_id, name) = self.argument.split_once(' ').unwrap_or(("", ""));
            self.queue = self.resolve_shared_queue(vm_id, name).unwrap_or(0);
        }
        self.queue != 0
    }

    /// A stream was cloned from its root, maybe before the root had found the queue.
    fn queue_or_resolved(&self) -> u32 {
        let mut suite = self.clone();
        suite.find_queue();
        suite.queue
    }
}

impl Context for Suite {
    fn on_http_call_response(&mut self, _: u32, _: usize, body_size: usize, _: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let body = self.get_http_call_response_body(0, body_size).unwrap_or_default();
        info!("suite: tick answer {} {}", status, String::from_utf8_lossy(&body));
    }
}

impl RootContext for Suite {
    fn on_vm_start(&mut self, _: usize) -> bool {
        let text = self.get_vm_configuration().unwrap_or_default();
        info!("suite: vm configuration '{}'", String::from_utf8_lossy(&text));
        true
    }

    fn on_configure(&mut self, _: usize) -> bool {
        let text = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap();
        info!("suite: configured '{}'", text);
        let (behaviour, argument) = text.split_once(' ').unwrap_or((&text, ""));
        self.behaviour = behaviour.to_string();
        self.argument = argument.to_string();
        match behaviour {
            "metrics" => {
                self.counter = hostcalls::define_metric(MetricType::Counter, "suite_requests").unwrap();
                self.gauge = hostcalls::define_metric(MetricType::Gauge, "suite_gauge").unwrap();
                self.histogram = hostcalls::define_metric(MetricType::Histogram, "suite_size").unwrap();
            }
            "consume" => self.queue = self.register_shared_queue(argument),
            "timer" | "produce" => self.set_tick_period(Duration::from_millis(20)),
            _ => (),
        }
        behaviour != "refuse"
    }

    fn on_tick(&mut self) {
        if self.behaviour == "produce" {
            if self.find_queue() {
                self.set_tick_period(Duration::ZERO);
                info!("suite: queue found");
            }
            return;
        }
        self.set_tick_period(Duration::ZERO);
        let headers = vec![(":method", "GET"), (":path", "/tick"), (":authority", "suite")];
        if let Err(status) =
            self.dispatch_http_call(&self.argument, headers, None, vec![], Duration::from_secs(1))
        {
            error!("suite: tick call {:?}", status);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            info!("suite: queue item {}", String::from_utf8_lossy(&item));
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        let tcp = self.behaviour == "tcp";
        Some(if tcp { ContextType::StreamContext } else { ContextType::HttpContext })
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { suite: self.clone(), messages: vec![] }))
    }

    fn create_stream_context(&self, _: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Stream { suite: self.clone(), messages: vec![] }))
    }
}

struct Stream {
    suite: Suite,
    messages: Vec<String>,
}

impl Stream {
    fn is(&self, behaviour: &str) -> bool {
        self.suite.behaviour == behaviour
    }

    fn edit_request(&self, count: usize, end: bool) {
        info!("suite: request headers {}{}", count, if end { " end" } else { "" });
        self.add_http_request_header("x-path", &self.get_http_request_header(":path").unwrap_or_default());
        self.add_http_request_header("x-add", "1");
        self.add_http_request_header("x-add", "2");
        self.set_http_request_header("x-replace", Some("new"));
        self.remove_http_request_header("x-remove");
    }

    fn authorize(&self) {
        let token = self.get_http_request_header("x-token").unwrap_or_default();
        let headers =
            vec![(":method", "GET"), (":path", "/auth"), (":authority", "suite"), ("x-token", token.as_str())];
        let call =
            self.dispatch_http_call(&self.suite.argument, headers, None, vec![], Duration::from_secs(1));
        if let Err(status) = call {
            let body = format!("call {:?}", status);
            self.send_http_response(500, vec![], Some(body.as_bytes()));
        }
    }

    fn ask_grpc(&self, path: &str) {
        let message = self.get_http_request_header("x-message").unwrap_or_default();
        let metadata: Vec<(&str, &[u8])> = vec![("x-suite", b"grpc")];
        let (cluster, method) = (&self.suite.argument, path.trim_start_matches('/'));
        let asked = if method == "Bidi" {
            self.open_grpc_stream(cluster, "p.S", method, metadata)
                .map(|token| self.send_grpc_stream_message(token, Some(message.as_bytes()), false))
        } else {
            self.dispatch_grpc_call(
                cluster,
                "p.S",
                method,
                metadata,
                Some(message.as_bytes()),
                Duration::from_secs(2),
            )
            .map(|_| ())
        };
        if let Err(status) = asked {
            self.send_http_response(500, vec![], Some(format!("grpc {:?}", status).as_bytes()));
        }
    }

    fn grpc_ended(&self, status: u32) {
        if status == 0 {
            self.add_http_request_header("x-grpc", &self.messages.join(" "));
            self.resume_http_request();
        } else {
            let (_, message) = self.get_grpc_status();
            let body = format!("grpc {} {}", status, message.unwrap_or_default());
            self.send_http_response(503, vec![], Some(body.as_bytes()));
        }
    }

    /// Compare and swap until nobody was in between.
    fn count(&self) {
        for _ in 0..100 {
            let (value, cas) = self.get_shared_data("suite count");
            let old: u32 = value.map_or(0, |v| String::from_utf8_lossy(&v).parse().unwrap_or(0));
            let new = (old + 1).to_string();
            match self.set_shared_data("suite count", Some(new.as_bytes()), cas) {
                Ok(()) => return self.add_http_response_header("x-count", &new),
                Err(Status::CasMismatch) => continue,
                Err(status) => return error!("suite: shared data {:?}", status),
            }
        }
        error!("suite: no swap");
    }

    fn show(&self, header: &str, path: Vec<&str>) {
        if let Some(value) = self.get_property(path) {
            self.add_http_response_header(header, &String::from_utf8_lossy(&value));
        }
    }

    fn show_properties(&self) {
        self.show("x-request-path", vec!["request", "path"]);
        self.show("x-request-header", vec!["request", "headers", "x-in"]);
        if let Some(Ok(code)) = self.get_property(vec!["response", "code"]).map(|v| <[u8; 8]>::try_from(&v[..])) {
            self.add_http_response_header("x-response-code", &u64::from_le_bytes(code).to_string());
        }
        self.show("x-plugin-root-id", vec!["plugin_root_id"]);
        let missing = self.get_property(vec!["no", "such"]).is_none();
        self.add_http_response_header("x-missing", if missing { "none" } else { "there" });
        self.set_property(vec!["suite_state"], Some(b"kept"));
        self.show("x-state", vec!["suite_state"]);
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        if self.get_http_call_response_header(":status").as_deref() == Some("200") {
            let user = self.get_http_call_response_header("x-user").unwrap_or_default();
            self.add_http_request_header("x-user", &user);
            self.resume_http_request();
        } else {
            self.send_http_response(403, vec![("x-suite", "auth")], Some(b"denied"));
        }
    }

    fn on_grpc_call_response(&mut self, _: u32, status: u32, size: usize) {
        if status == 0 {
            let body = self.get_grpc_call_response_body(0, size).unwrap_or_default();
            self.messages.push(String::from_utf8_lossy(&body).to_string());
        }
        self.grpc_ended(status);
    }

    fn on_grpc_stream_initial_metadata(&mut self, _: u32, _: u32) {
        let value = self.get_grpc_stream_initial_metadata_value("x-init").unwrap_or_default();
        info!("suite: grpc initial {}", String::from_utf8_lossy(&value));
    }

    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        let message = self.get_grpc_stream_message(0, size).unwrap_or_default();
        self.messages.push(String::from_utf8_lossy(&message).to_string());
        if self.messages.len() == 1 {
            self.send_grpc_stream_message(token, Some(b"bye"), true);
        }
    }

    fn on_grpc_stream_trailing_metadata(&mut self, _: u32, _: u32) {
        let value = self.get_grpc_stream_trailing_metadata_value("x-trail").unwrap_or_default();
        info!("suite: grpc trailing {}", String::from_utf8_lossy(&value));
    }

    fn on_grpc_stream_close(&mut self, _: u32, status: u32) {
        self.grpc_ended(status);
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        match self.suite.behaviour.as_str() {
            "header" => self.edit_request(count, end),
            "body" => self.remove_http_request_header("content-length"),
            "auth" => {
                self.authorize();
                return Action::Pause;
            }
            "grpc" => {
                self.ask_grpc(&path);
                return Action::Pause;
            }
            "route" => {
                if self.get_http_request_header("x-version").as_deref() == Some("2") {
                    self.set_http_request_header("x-route", Some("blue"));
                }
            }
            "produce" => {
                let done = self.enqueue_shared_queue(self.suite.queue_or_resolved(), Some(path.as_bytes()));
                info!("suite: enqueue {}", if done.is_ok() { "Ok" } else { "NotFound" });
            }
            "metrics" => {
                hostcalls::increment_metric(self.suite.counter, 1).unwrap();
                hostcalls::record_metric(self.suite.gauge, 7).unwrap();
                hostcalls::record_metric(self.suite.histogram, path.len() as u64).unwrap();
            }
            "reply" => {
                self.send_http_response(418, vec![("x-suite", "reply")], Some(b"short and stout"));
                return Action::Pause;
            }
            _ => (),
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        if !self.is("body") {
            return Action::Continue;
        }
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_request_body(0, size).unwrap_or_default();
        self.set_http_request_body(0, size, &[b"[", &body[..], b"]"].concat());
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, _: bool) -> Action {
        match self.suite.behaviour.as_str() {
            "header" => {
                let status = self.get_http_response_header(":status").unwrap_or_default();
                info!("suite: response headers {} {}", count, status);
                self.add_http_response_header("x-response", "on");
                self.remove_http_response_header("x-secret");
            }
            "body" => self.remove_http_response_header("content-length"),
            "trivial" => self.add_http_response_header("x-trivial", "1"),
            "shared" => self.count(),
            "metrics" => {
                let value = hostcalls::get_metric(self.suite.counter).unwrap();
                self.add_http_response_header("x-counter", &value.to_string());
            }
            "properties" => self.show_properties(),
            _ => (),
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        if !self.is("body") {
            return Action::Continue;
        }
        if !end {
            return Action::Pause;
        }
        let body = self.get_http_response_body(0, size).unwrap_or_default();
        self.set_http_response_body(0, size, &[b"<", &body[..], b">"].concat());
        Action::Continue
    }
}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        info!("suite: new connection");
        Action::Continue
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        let mut data = self.get_downstream_data(0, size).unwrap_or_default();
        data.make_ascii_uppercase();
        self.set_downstream_data(0, size, &data);
        if end {
            info!("suite: downstream end");
        }
        Action::Continue
    }

    fn on_upstream_data(&mut self, size: usize, _: bool) -> Action {
        if size > 0 {
            hostcalls::set_buffer(BufferType::UpstreamData, 0, 0, b"> ").unwrap();
        }
        Action::Continue
    }

    fn on_downstream_close(&mut self, _: PeerType) {
        info!("suite: connection closed");
    }
}
