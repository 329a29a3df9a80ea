// SPDX-License-Identifier: Apache-2.0
//
// The plugin of tests/sdk/README.md in AssemblyScript with @solo-io/proxy-runtime 0.1.8. The SDK's own wrappers of
// shared data, queues, buffers that are written, and metrics that are read are wrong or missing; there this uses the
// host functions, as its users must. Nothing here may be known to Weir alone.

export * from "@solo-io/proxy-runtime/proxy";
import {
  BaseContext, Context, RootContext, registerRootContext, FilterDataStatusValues, FilterHeadersStatusValues,
  FilterStatusValues, GrpcStatusValues, HeaderPair, Headers, LogLevelValues, log, send_local_response, stream_context,
  Counter,
} from "@solo-io/proxy-runtime";
import {
  BufferTypeValues, MetricTypeValues, PeerTypeValues, define_metric, getContext, get_buffer_bytes, record_metric,
  set_tick_period_milliseconds,
} from "@solo-io/proxy-runtime/runtime";
import { free } from "@solo-io/proxy-runtime/malloc";
import * as host from "@solo-io/proxy-runtime/imports";

// @ts-ignore: decorator
@external("env", "proxy_set_buffer_bytes")
declare function proxy_set_buffer_bytes(type: u32, start: u32, length: u32, data: usize, size: usize): u32;

/** What a host function writes: the address and size of something in memory of malloc, or a number. */
class Out {
  data: usize = 0;
  size: usize = 0;
  number: u64 = 0;

  dataPtr(): usize { return changetype<usize>(this) + offsetof<Out>("data"); }
  sizePtr(): usize { return changetype<usize>(this) + offsetof<Out>("size"); }
  numberPtr(): usize { return changetype<usize>(this) + offsetof<Out>("number"); }

  bytes(): ArrayBuffer {
    const copy = new ArrayBuffer(<i32>this.size);
    if (this.size != 0) {
      memory.copy(changetype<usize>(copy), this.data, this.size);
      free(this.data);
    }
    return copy;
  }

  text(): string { return String.UTF8.decode(this.bytes()); }
}

function info(text: string): void { log(LogLevelValues.info, "suite: " + text); }

function pair(name: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(name), String.UTF8.encode(value));
}

/** A property, or null. */
function property(path: string): ArrayBuffer | null {
  const wire = String.UTF8.encode(path), out = new Out();
  if (host.proxy_get_property(changetype<usize>(wire), wire.byteLength, out.dataPtr(), out.sizePtr()) != 0)
    return null;
  return out.bytes();
}

function show(header: string, path: string): void {
  const value = property(path);
  if (value !== null)
    stream_context.headers.response.add(header, String.UTF8.decode(value!));
}

function replaceBody(type: BufferTypeValues, size: usize, before: string, after: string): void {
  const body = before + String.UTF8.decode(get_buffer_bytes(type, 0, <u32>size)) + after;
  const bytes = String.UTF8.encode(body);
  proxy_set_buffer_bytes(type, 0, <u32>size, changetype<usize>(bytes), bytes.byteLength);
}

class Suite extends RootContext {
  behaviour: string = "";
  argument: string = "";
  queue: u32 = 0;
  counter: u32 = 0;
  gauge: u32 = 0;
  histogram: u32 = 0;

  createContext(id: u32): Context { return new Stream(id, this); }

  onStart(size: usize): bool {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.VmConfiguration, 0, <u32>size));
    info("vm configuration '" + text + "'");
    return true;
  }

  onConfigure(size: u32): bool {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.PluginConfiguration, 0, size));
    const space = text.indexOf(" ");
    this.behaviour = space < 0 ? text : text.substring(0, space);
    this.argument = space < 0 ? "" : text.substring(space + 1);
    info("configured '" + text + "'");
    if (this.behaviour == "metrics") {
      this.counter = new Counter("suite_requests").metric_id;
      this.gauge = define_metric(MetricTypeValues.Gauge, "suite_gauge").metric_id;
      this.histogram = define_metric(MetricTypeValues.Histogram, "suite_size").metric_id;
    } else if (this.behaviour == "consume") {
      const name = String.UTF8.encode(this.argument), out = new Out();
      if (host.proxy_register_shared_queue(changetype<usize>(name), name.byteLength, out.numberPtr()) != 0)
        return false;
      this.queue = <u32>out.number;
    } else if (this.behaviour == "timer" || this.behaviour == "produce") {
      set_tick_period_milliseconds(20);
    }
    return this.behaviour != "refuse";
  }

  /** The consumer may be configured later than the producer. */
  findQueue(): bool {
    if (this.queue == 0) {
      const space = this.argument.indexOf(" "), out = new Out();
      const vm = String.UTF8.encode(this.argument.substring(0, space));
      const name = String.UTF8.encode(this.argument.substring(space + 1));
      if (host.proxy_resolve_shared_queue(changetype<usize>(vm), vm.byteLength, changetype<usize>(name),
                                          name.byteLength, out.numberPtr()) == 0)
        this.queue = <u32>out.number;
    }
    return this.queue != 0;
  }

  onTick(): void {
    if (this.behaviour == "produce") {
      if (this.findQueue()) {
        set_tick_period_milliseconds(0);
        info("queue found");
      }
      return;
    }
    set_tick_period_milliseconds(0);
    const headers: Headers = [pair(":method", "GET"), pair(":path", "/tick"), pair(":authority", "suite")];
    const result = this.httpCall(this.argument, headers, new ArrayBuffer(0), [], 1000, this,
      (_: BaseContext, headers: u32, size: usize, trailers: u32): void => {
        const body = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.HttpCallResponseBody, 0, <u32>size));
        info("tick answer " + stream_context.headers.http_callback.get(":status") + " " + body);
      });
    if (result != 0)
      info("tick call " + result.toString());
  }

  onQueueReady(queue: u32): void {
    const out = new Out();
    while (host.proxy_dequeue_shared_queue(queue, out.dataPtr(), out.sizePtr()) == 0)
      info("queue item " + out.text());
  }
}

class Stream extends Context {
  suite: Suite;
  path: string = "";

  constructor(id: u32, root: Suite) {
    super(id, root);
    this.suite = root;
  }

  editRequest(count: u32, end: bool): void {
    const request = stream_context.headers.request;
    info("request headers " + count.toString() + (end ? " end" : ""));
    request.add("x-path", this.path);
    request.add("x-add", "1");
    request.add("x-add", "2");
    request.replace("x-replace", "new");
    request.remove("x-remove");
  }

  authorize(): void {
    const headers: Headers = [pair(":method", "GET"), pair(":path", "/auth"), pair(":authority", "suite"),
      pair("x-token", stream_context.headers.request.get("x-token"))];
    const result = this.suite.httpCall(this.suite.argument, headers, new ArrayBuffer(0), [], 1000, this,
      (origin: BaseContext, headers: u32, size: usize, trailers: u32): void => {
        const answer = stream_context.headers.http_callback;
        if (answer.get(":status") == "200") {
          stream_context.headers.request.add("x-user", answer.get("x-user"));
          origin.continueRequest();
        } else {
          send_local_response(403, "suite_auth", String.UTF8.encode("denied"), [pair("x-suite", "auth")],
                              GrpcStatusValues.InvalidCode);
        }
      });
    if (result != 0)
      send_local_response(500, "", String.UTF8.encode("call " + result.toString()), [], GrpcStatusValues.InvalidCode);
  }

  /** Compare and swap until nobody was in between. */
  count(): void {
    const key = String.UTF8.encode("suite count");
    for (let i = 0; i < 100; i++) {
      const out = new Out();
      let count: u32 = 0, cas: u32 = 0;
      if (host.proxy_get_shared_data(changetype<usize>(key), key.byteLength, out.dataPtr(), out.sizePtr(),
                                     out.numberPtr()) == 0) {
        count = <u32>parseInt(out.text());
        cas = <u32>out.number;
      }
      const text = (count + 1).toString(), value = String.UTF8.encode(text);
      if (host.proxy_set_shared_data(changetype<usize>(key), key.byteLength, changetype<usize>(value),
                                     value.byteLength, cas) == 0) {
        stream_context.headers.response.add("x-count", text);
        return;
      }
    }
    log(LogLevelValues.error, "suite: no swap");
  }

  showProperties(): void {
    const response = stream_context.headers.response;
    show("x-request-path", "request\0path");
    show("x-request-header", "request\0headers\0x-in");
    const code = property("response\0code");
    if (code !== null && code!.byteLength == 8)
      response.add("x-response-code", load<u64>(changetype<usize>(code!)).toString());
    show("x-plugin-root-id", "plugin_root_id");
    response.add("x-missing", property("no\0such") === null ? "none" : "there");
    const key = String.UTF8.encode("suite_state"), value = String.UTF8.encode("kept");
    host.proxy_set_property(changetype<usize>(key), key.byteLength, changetype<usize>(value), value.byteLength);
    show("x-state", "suite_state");
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const request = stream_context.headers.request, behaviour = this.suite.behaviour;
    this.path = request.get(":path");
    if (behaviour == "header") {
      this.editRequest(count, end);
    } else if (behaviour == "body") {
      request.remove("content-length");
    } else if (behaviour == "auth") {
      this.authorize();
      return FilterHeadersStatusValues.StopIteration;
    } else if (behaviour == "route") {
      if (request.get("x-version") == "2")
        request.replace("x-route", "blue");
    } else if (behaviour == "produce") {
      const item = String.UTF8.encode(this.path);
      const result = host.proxy_enqueue_shared_queue(this.suite.queue, changetype<usize>(item), item.byteLength);
      info("enqueue " + (result == 0 ? "Ok" : "NotFound"));
    } else if (behaviour == "metrics") {
      host.proxy_increment_metric(this.suite.counter, 1);
      record_metric(this.suite.gauge, 7);
      record_metric(this.suite.histogram, this.path.length);
    } else if (behaviour == "reply") {
      send_local_response(418, "suite_reply", String.UTF8.encode("short and stout"), [pair("x-suite", "reply")],
                          GrpcStatusValues.InvalidCode);
      return FilterHeadersStatusValues.StopIteration;
    }
    return FilterHeadersStatusValues.Continue;
  }

  onRequestBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.suite.behaviour != "body")
      return FilterDataStatusValues.Continue;
    if (!end)
      return FilterDataStatusValues.StopIterationAndBuffer;
    replaceBody(BufferTypeValues.HttpRequestBody, size, "[", "]");
    return FilterDataStatusValues.Continue;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const response = stream_context.headers.response, behaviour = this.suite.behaviour;
    if (behaviour == "header") {
      info("response headers " + count.toString() + " " + response.get(":status"));
      response.add("x-response", "on");
      response.remove("x-secret");
    } else if (behaviour == "body") {
      response.remove("content-length");
    } else if (behaviour == "trivial") {
      response.add("x-trivial", "1");
    } else if (behaviour == "shared") {
      this.count();
    } else if (behaviour == "metrics") {
      const out = new Out();
      host.proxy_get_metric(this.suite.counter, out.numberPtr());
      response.add("x-counter", out.number.toString());
    } else if (behaviour == "properties") {
      this.showProperties();
    }
    return FilterHeadersStatusValues.Continue;
  }

  onResponseBody(size: usize, end: bool): FilterDataStatusValues {
    if (this.suite.behaviour != "body")
      return FilterDataStatusValues.Continue;
    if (!end)
      return FilterDataStatusValues.StopIterationAndBuffer;
    replaceBody(BufferTypeValues.HttpResponseBody, size, "<", ">");
    return FilterDataStatusValues.Continue;
  }

  onNewConnection(): FilterStatusValues {
    info("new connection");
    return FilterStatusValues.Continue;
  }

  onDownstreamData(size: usize, end: bool): FilterStatusValues {
    const text = String.UTF8.decode(get_buffer_bytes(BufferTypeValues.NetworkDownstreamData, 0, <u32>size));
    const bytes = String.UTF8.encode(text.toUpperCase());
    proxy_set_buffer_bytes(BufferTypeValues.NetworkDownstreamData, 0, <u32>size, changetype<usize>(bytes),
                           bytes.byteLength);
    if (end)
      info("downstream end");
    return FilterStatusValues.Continue;
  }

  onUpstreamData(size: usize, end: bool): FilterStatusValues {
    if (size > 0) {
      const mark = String.UTF8.encode("> ");
      proxy_set_buffer_bytes(BufferTypeValues.NetworkUpstreamData, 0, 0, changetype<usize>(mark), mark.byteLength);
    }
    return FilterStatusValues.Continue;
  }

  onDownstreamConnectionClose(peer: PeerTypeValues): void { info("connection closed"); }
}

// The SDK has these callbacks, but does not export them.
function stream(id: u32): Stream { return getContext(id) as Stream; }
export function proxy_on_new_connection(id: u32): u32 { return stream(id).onNewConnection(); }
export function proxy_on_downstream_data(id: u32, size: u32, end: u32): u32 {
  return stream(id).onDownstreamData(size, end != 0);
}
export function proxy_on_upstream_data(id: u32, size: u32, end: u32): u32 {
  return stream(id).onUpstreamData(size, end != 0);
}
export function proxy_on_downstream_connection_close(id: u32, peer: u32): void {
  stream(id).onDownstreamConnectionClose(peer as PeerTypeValues);
}

registerRootContext((id: u32) => { return new Suite(id); }, "suite");
