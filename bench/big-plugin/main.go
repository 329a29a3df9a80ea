// SPDX-License-Identifier: Apache-2.0

// A web application firewall as a Proxy-Wasm plugin: the largest module that people really run, for the rows of
// `make bench` about start-up. It judges request headers by the OWASP core rule set and answers 403.
package main

import (
	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

const directives = `
Include @coraza.conf-recommended
Include @crs-setup.conf.example
Include @owasp_crs/*.conf
SecRuleEngine On
`

func main() {}

func init() { proxywasm.SetVMContext(&vm{}) }

type vm struct{ types.DefaultVMContext }

func (*vm) NewPluginContext(uint32) types.PluginContext { return &plugin{} }

type plugin struct {
	types.DefaultPluginContext
	waf coraza.WAF
}

func (p *plugin) OnPluginStart(int) types.OnPluginStartStatus {
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(directives))
	if err != nil {
		proxywasm.LogCriticalf("the rules do not compile: %v", err)
		return types.OnPluginStartStatusFailed
	}
	p.waf = waf
	return types.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) types.HttpContext { return &stream{waf: p.waf} }

type stream struct {
	types.DefaultHttpContext
	waf coraza.WAF
}

func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
	tx := s.waf.NewTransaction()
	defer tx.Close()
	headers, err := proxywasm.GetHttpRequestHeaders()
	if err != nil {
		proxywasm.LogErrorf("no request headers: %v", err)
		return types.ActionContinue
	}
	var method, path string
	for _, h := range headers {
		switch h[0] {
		case ":method":
			method = h[1]
		case ":path":
			path = h[1]
		case ":authority":
			tx.AddRequestHeader("host", h[1])
		default:
			tx.AddRequestHeader(h[0], h[1])
		}
	}
	tx.ProcessURI(path, method, "HTTP/1.1")
	if it := tx.ProcessRequestHeaders(); it != nil {
		if err := proxywasm.SendHttpResponse(403, nil, []byte("forbidden\n"), -1); err != nil {
			proxywasm.LogErrorf("no reply: %v", err)
		}
		return types.ActionPause
	}
	return types.ActionContinue
}
