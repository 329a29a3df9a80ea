// SPDX-License-Identifier: Apache-2.0

// gRPC calls. The Go SDK has none, so the plugin declares the host's functions and exports the host's callbacks itself,
// as any author can. Like the SDK's own, its hooks run on one goroutine.
package main

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unsafe"

	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
)

const (
	bufferGrpcMessage = 5
	mapGrpcInitial    = 4
	mapGrpcTrailing   = 5
)

//go:wasmimport env proxy_grpc_call
func hostGrpcCall(upstream *byte, upstreamLen int32, service *byte, serviceLen int32, method *byte, methodLen int32,
	metadata *byte, metadataLen int32, message *byte, messageLen int32, timeoutMS uint32, token *uint32) uint32

//go:wasmimport env proxy_grpc_stream
func hostGrpcStream(upstream *byte, upstreamLen int32, service *byte, serviceLen int32, method *byte, methodLen int32,
	metadata *byte, metadataLen int32, token *uint32) uint32

//go:wasmimport env proxy_grpc_send
func hostGrpcSend(token uint32, message *byte, messageLen int32, end uint32) uint32

//go:wasmimport env proxy_get_buffer_bytes
func hostBuffer(kind uint32, start, max int32, data unsafe.Pointer, size *int32) uint32

//go:wasmimport env proxy_get_header_map_value
func hostMapValue(kind uint32, key *byte, keyLen int32, data unsafe.Pointer, size *int32) uint32

//go:wasmimport env proxy_get_status
func hostStatus(code *uint32, data unsafe.Pointer, size *int32) uint32

// Whose answer it is.
var grpcCalls, grpcStreams = map[uint32]*stream{}, map[uint32]*stream{}

func bytesOf(text string) (*byte, int32) { return unsafe.StringData(text), int32(len(text)) }

func textAt(data *byte, size int32) string {
	if data == nil {
		return ""
	}
	return string(unsafe.Slice(data, size))
}

// One field in the form of the ABI: count, sizes, then name and value with a zero byte after each.
func pair(name, value string) string {
	head := binary.LittleEndian.AppendUint32(nil, 1)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(name)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(value)))
	return string(head) + name + "\x00" + value + "\x00"
}

func send(token uint32, message string, end uint32) {
	data, size := bytesOf(message)
	if status := hostGrpcSend(token, data, size, end); status != 0 {
		proxywasm.LogErrorf("suite: grpc send %d", status)
	}
}

func (s *stream) askGrpc() {
	message, _ := proxywasm.GetHttpRequestHeader("x-message")
	upstream, upstreamLen := bytesOf(s.argument)
	service, serviceLen := bytesOf("p.S")
	method, methodLen := bytesOf(strings.TrimPrefix(s.path, "/"))
	metadata, metadataLen := bytesOf(pair("x-suite", "grpc"))
	var token, status uint32
	if s.path == "/Bidi" {
		status = hostGrpcStream(upstream, upstreamLen, service, serviceLen, method, methodLen, metadata, metadataLen, &token)
		if status == 0 {
			grpcStreams[token] = s
			send(token, message, 0)
		}
	} else {
		data, size := bytesOf(message)
		status = hostGrpcCall(upstream, upstreamLen, service, serviceLen, method, methodLen, metadata, metadataLen, data,
			size, 2000, &token)
		if status == 0 {
			grpcCalls[token] = s
		}
	}
	if status != 0 {
		must(proxywasm.SendHttpResponse(500, nil, []byte(fmt.Sprintf("grpc %d", status)), -1))
	}
}

func (s *stream) grpcEnded(status uint32) {
	var code uint32
	var data *byte
	var size int32
	hostStatus(&code, unsafe.Pointer(&data), &size)
	must(proxywasm.SetEffectiveContext(s.id))
	if status == 0 {
		must(proxywasm.AddHttpRequestHeader("x-grpc", strings.Join(s.messages, " ")))
		must(proxywasm.ResumeHttpRequest())
		return
	}
	body := fmt.Sprintf("grpc %d %s", status, textAt(data, size))
	must(proxywasm.SendHttpResponse(503, nil, []byte(body), -1))
}

func logMetadata(what string, kind uint32, name string) {
	var data *byte
	var size int32
	key, keyLen := bytesOf(name)
	hostMapValue(kind, key, keyLen, unsafe.Pointer(&data), &size)
	proxywasm.LogInfof("suite: grpc %s %s", what, textAt(data, size))
}

//go:wasmexport proxy_on_grpc_receive_initial_metadata
func onGrpcInitialMetadata(_, token, _ uint32) {
	if grpcStreams[token] != nil {
		logMetadata("initial", mapGrpcInitial, "x-init")
	}
}

//go:wasmexport proxy_on_grpc_receive_trailing_metadata
func onGrpcTrailingMetadata(_, token, _ uint32) {
	if grpcStreams[token] != nil {
		logMetadata("trailing", mapGrpcTrailing, "x-trail")
	}
}

//go:wasmexport proxy_on_grpc_receive
func onGrpcReceive(_, token, size uint32) {
	var data *byte
	var got int32
	if size > 0 {
		hostBuffer(bufferGrpcMessage, 0, int32(size), unsafe.Pointer(&data), &got)
	}
	if s := grpcCalls[token]; s != nil {
		s.messages = append(s.messages, textAt(data, got))
		delete(grpcCalls, token)
		s.grpcEnded(0)
	} else if s := grpcStreams[token]; s != nil {
		s.messages = append(s.messages, textAt(data, got))
		if len(s.messages) == 1 {
			send(token, "bye", 1)
		}
	}
}

//go:wasmexport proxy_on_grpc_close
func onGrpcClose(_, token, status uint32) {
	s := grpcCalls[token]
	if s == nil {
		s = grpcStreams[token]
	}
	delete(grpcCalls, token)
	delete(grpcStreams, token)
	if s != nil {
		s.grpcEnded(status)
	}
}
