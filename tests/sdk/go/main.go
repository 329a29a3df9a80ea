// SPDX-License-Identifier: Apache-2.0

// The plugin of tests/sdk/README.md in plain Go, with the Go SDK as any author uses it. Nothing here may be known to
// Weir alone.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() { proxywasm.SetVMContext(&vm{}) }

type vm struct{ types.DefaultVMContext }

func (*vm) OnVMStart(int) types.OnVMStartStatus {
	text, _ := proxywasm.GetVMConfiguration()
	proxywasm.LogInfof("suite: vm configuration '%s'", text)
	return types.OnVMStartStatusOK
}

func (*vm) NewPluginContext(uint32) types.PluginContext { return &suite{} }

type suite struct {
	types.DefaultPluginContext
	behaviour, argument string
	queue               uint32
	counter             proxywasm.MetricCounter
	gauge               proxywasm.MetricGauge
	histogram           proxywasm.MetricHistogram
}

func must(err error) {
	if err != nil {
		proxywasm.LogErrorf("suite: %v", err)
	}
}

func (s *suite) OnPluginStart(int) types.OnPluginStartStatus {
	text, err := proxywasm.GetPluginConfiguration()
	if err != nil {
		return types.OnPluginStartStatusFailed
	}
	proxywasm.LogInfof("suite: configured '%s'", text)
	s.behaviour, s.argument, _ = strings.Cut(string(text), " ")
	switch s.behaviour {
	case "metrics":
		s.counter = proxywasm.DefineCounterMetric("suite_requests")
		s.gauge = proxywasm.DefineGaugeMetric("suite_gauge")
		s.histogram = proxywasm.DefineHistogramMetric("suite_size")
	case "consume":
		s.queue, err = proxywasm.RegisterSharedQueue(s.argument)
		must(err)
	case "timer", "produce":
		must(proxywasm.SetTickPeriodMilliSeconds(20))
	case "refuse":
		return types.OnPluginStartStatusFailed
	}
	return types.OnPluginStartStatusOK
}

// The consumer may be configured later than the producer.
func (s *suite) findQueue() bool {
	if s.queue == 0 {
		vmID, name, _ := strings.Cut(s.argument, " ")
		s.queue, _ = proxywasm.ResolveSharedQueue(vmID, name)
	}
	return s.queue != 0
}

func (s *suite) OnTick() {
	if s.behaviour == "produce" {
		if s.findQueue() {
			must(proxywasm.SetTickPeriodMilliSeconds(0))
			proxywasm.LogInfo("suite: queue found")
		}
		return
	}
	must(proxywasm.SetTickPeriodMilliSeconds(0))
	headers := [][2]string{{":method", "GET"}, {":path", "/tick"}, {":authority", "suite"}}
	_, err := proxywasm.DispatchHttpCall(s.argument, headers, nil, nil, 1000, func(_, size, _ int) {
		body, _ := proxywasm.GetHttpCallResponseBody(0, size)
		proxywasm.LogInfof("suite: tick answer %s %s", callHeader(":status"), body)
	})
	must(err)
}

func (s *suite) OnQueueReady(queue uint32) {
	for {
		item, err := proxywasm.DequeueSharedQueue(queue)
		if err != nil {
			return
		}
		proxywasm.LogInfof("suite: queue item %s", item)
	}
}

func callHeader(name string) string {
	headers, _ := proxywasm.GetHttpCallResponseHeaders()
	for _, h := range headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

// A plugin context makes HTTP contexts if it can, else TCP contexts: nil leads to the other.
func (s *suite) NewHttpContext(id uint32) types.HttpContext {
	if s.behaviour == "tcp" {
		return nil
	}
	return &stream{suite: s, id: id}
}

func (s *suite) NewTcpContext(uint32) types.TcpContext {
	if s.behaviour != "tcp" {
		return nil
	}
	return &connection{}
}

type stream struct {
	types.DefaultHttpContext
	*suite
	id       uint32
	path     string
	messages []string
}

func (s *stream) editRequest(count int, end bool) {
	mark := ""
	if end {
		mark = " end"
	}
	proxywasm.LogInfof("suite: request headers %d%s", count, mark)
	must(proxywasm.AddHttpRequestHeader("x-path", s.path))
	must(proxywasm.AddHttpRequestHeader("x-add", "1"))
	must(proxywasm.AddHttpRequestHeader("x-add", "2"))
	must(proxywasm.ReplaceHttpRequestHeader("x-replace", "new"))
	must(proxywasm.RemoveHttpRequestHeader("x-remove"))
}

func (s *stream) authorize() {
	token, _ := proxywasm.GetHttpRequestHeader("x-token")
	headers := [][2]string{{":method", "GET"}, {":path", "/auth"}, {":authority", "suite"}, {"x-token", token}}
	_, err := proxywasm.DispatchHttpCall(s.argument, headers, nil, nil, 1000, func(_, _, _ int) {
		if callHeader(":status") == "200" {
			must(proxywasm.AddHttpRequestHeader("x-user", callHeader("x-user")))
			must(proxywasm.ResumeHttpRequest())
		} else {
			must(proxywasm.SendHttpResponse(403, [][2]string{{"x-suite", "auth"}}, []byte("denied"), -1))
		}
	})
	if err != nil {
		must(proxywasm.SendHttpResponse(500, nil, []byte("call "+err.Error()), -1))
	}
}

// Compare and swap until nobody was in between.
func (s *stream) count() {
	for i := 0; i < 100; i++ {
		value, cas, err := proxywasm.GetSharedData("suite count")
		if err != nil && !errors.Is(err, types.ErrorStatusNotFound) {
			must(err)
		}
		old, _ := strconv.Atoi(string(value))
		next := strconv.Itoa(old + 1)
		if err = proxywasm.SetSharedData("suite count", []byte(next), cas); err == nil {
			must(proxywasm.AddHttpResponseHeader("x-count", next))
			return
		}
		if !errors.Is(err, types.ErrorStatusCasMismatch) {
			must(err)
		}
	}
	proxywasm.LogError("suite: no swap")
}

func (s *stream) show(header string, path ...string) {
	if value, err := proxywasm.GetProperty(path); err == nil {
		must(proxywasm.AddHttpResponseHeader(header, string(value)))
	}
}

func (s *stream) showProperties() {
	s.show("x-request-path", "request", "path")
	s.show("x-request-header", "request", "headers", "x-in")
	if code, err := proxywasm.GetProperty([]string{"response", "code"}); err == nil && len(code) == 8 {
		number := strconv.FormatUint(binary.LittleEndian.Uint64(code), 10)
		must(proxywasm.AddHttpResponseHeader("x-response-code", number))
	}
	s.show("x-plugin-root-id", "plugin_root_id")
	missing := "none"
	if _, err := proxywasm.GetProperty([]string{"no", "such"}); err == nil {
		missing = "there"
	}
	must(proxywasm.AddHttpResponseHeader("x-missing", missing))
	must(proxywasm.SetProperty([]string{"suite_state"}, []byte("kept")))
	s.show("x-state", "suite_state")
}

func (s *stream) OnHttpRequestHeaders(count int, end bool) types.Action {
	s.path, _ = proxywasm.GetHttpRequestHeader(":path")
	switch s.behaviour {
	case "header":
		s.editRequest(count, end)
	case "body":
		must(proxywasm.RemoveHttpRequestHeader("content-length"))
	case "auth":
		s.authorize()
		return types.ActionPause
	case "grpc":
		s.askGrpc()
		return types.ActionPause
	case "route":
		if version, _ := proxywasm.GetHttpRequestHeader("x-version"); version == "2" {
			must(proxywasm.ReplaceHttpRequestHeader("x-route", "blue"))
		}
	case "produce":
		word := "Ok"
		if proxywasm.EnqueueSharedQueue(s.queue, []byte(s.path)) != nil {
			word = "NotFound"
		}
		proxywasm.LogInfo("suite: enqueue " + word)
	case "metrics":
		s.counter.Increment(1)
		s.gauge.Add(7 - s.gauge.Value())
		s.histogram.Record(uint64(len(s.path)))
	case "reply":
		must(proxywasm.SendHttpResponse(418, [][2]string{{"x-suite", "reply"}}, []byte("short and stout"), -1))
		return types.ActionPause
	}
	return types.ActionContinue
}

func (s *stream) OnHttpRequestBody(size int, end bool) types.Action {
	if s.behaviour != "body" {
		return types.ActionContinue
	}
	if !end {
		return types.ActionPause
	}
	var body []byte
	if size > 0 {
		body, _ = proxywasm.GetHttpRequestBody(0, size)
	}
	must(proxywasm.ReplaceHttpRequestBody([]byte("[" + string(body) + "]")))
	return types.ActionContinue
}

func (s *stream) OnHttpResponseHeaders(count int, _ bool) types.Action {
	switch s.behaviour {
	case "header":
		status, _ := proxywasm.GetHttpResponseHeader(":status")
		proxywasm.LogInfof("suite: response headers %d %s", count, status)
		must(proxywasm.AddHttpResponseHeader("x-response", "on"))
		must(proxywasm.RemoveHttpResponseHeader("x-secret"))
	case "body":
		must(proxywasm.RemoveHttpResponseHeader("content-length"))
	case "trivial":
		must(proxywasm.AddHttpResponseHeader("x-trivial", "1"))
	case "shared":
		s.count()
	case "metrics":
		must(proxywasm.AddHttpResponseHeader("x-counter", strconv.FormatUint(s.counter.Value(), 10)))
	case "properties":
		s.showProperties()
	}
	return types.ActionContinue
}

func (s *stream) OnHttpResponseBody(size int, end bool) types.Action {
	if s.behaviour != "body" {
		return types.ActionContinue
	}
	if !end {
		return types.ActionPause
	}
	var body []byte
	if size > 0 {
		body, _ = proxywasm.GetHttpResponseBody(0, size)
	}
	must(proxywasm.ReplaceHttpResponseBody([]byte("<" + string(body) + ">")))
	return types.ActionContinue
}

type connection struct{ types.DefaultTcpContext }

func (*connection) OnNewConnection() types.Action {
	proxywasm.LogInfo("suite: new connection")
	return types.ActionContinue
}

func (*connection) OnDownstreamData(size int, end bool) types.Action {
	if size > 0 {
		data, err := proxywasm.GetDownstreamData(0, size)
		must(err)
		must(proxywasm.ReplaceDownstreamData(bytes.ToUpper(data)))
	}
	if end {
		proxywasm.LogInfo("suite: downstream end")
	}
	return types.ActionContinue
}

func (*connection) OnUpstreamData(size int, _ bool) types.Action {
	if size > 0 {
		must(proxywasm.PrependUpstreamData([]byte("> ")))
	}
	return types.ActionContinue
}

func (*connection) OnDownstreamClose(types.PeerType) { proxywasm.LogInfo("suite: connection closed") }
