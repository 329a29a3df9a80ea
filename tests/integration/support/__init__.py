# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: the proxy as a process, configurations, raw HTTP/1 and scripted upstreams."""
