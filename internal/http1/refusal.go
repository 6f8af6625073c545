package http1

import "errors"

// A Refusal is why a request is answered by the server in the handler's place.
// The connection is closed after it, because where the next request begins is
// not known.
type Refusal struct {
	Status int
	// Code and Message are the body's, as in the platform's errors.
	Code, Message string
}

func (r *Refusal) Error() string { return "refuse request: " + r.Message }

// ErrClientGone is the cause of a request's context when the connection ended
// while the request was being answered.
var ErrClientGone = errors.New("client went away")

func malformed(what string) *Refusal {
	return &Refusal{Status: 400, Code: "BAD_REQUEST", Message: "Request is malformed: " + what}
}

// One for everything that is refused. Sections are RFC 9112's unless said
// otherwise.
var (
	errRequestLine  = malformed("request line")                                                             // 3
	errMethod       = malformed("method")                                                                   // 3.1
	errTarget       = malformed("request target")                                                           // 3.2
	errBareLine     = malformed("a line does not end in CR LF")                                             // 2.2
	errFieldName    = malformed("header name")                                                              // 5.1, space before the colon too
	errFieldValue   = malformed("header value")                                                             // RFC 9110, 5.5
	errFolded       = malformed("header value goes over several lines")                                     // 5.2
	errNoHost       = malformed("Host is missing")                                                          // 3.2
	errHosts        = malformed("more than one Host")                                                       // 3.2
	errHost         = malformed("Host")                                                                     // 3.2
	errLength       = malformed("Content-Length")                                                           // 6.3
	errLengths      = malformed("more than one Content-Length")                                             // 6.3
	errBothFramings = malformed("both Content-Length and Transfer-Encoding")                                // 6.1
	errCodings      = malformed("more than one Transfer-Encoding")                                          // 6.1
	errOldCoding    = malformed("Transfer-Encoding in HTTP/1.0")                                            // 6.1
	errCoding       = &Refusal{501, "NOT_IMPLEMENTED", "Transfer-Encoding is not understood"}               // 6.1
	errVersion      = &Refusal{505, "HTTP_VERSION_NOT_SUPPORTED", "HTTP version is not supported"}          // 2.3
	errPlain        = &Refusal{400, "BAD_REQUEST", "HTTP was sent where HTTPS is spoken: call https://"}    // RFC 9110, 4.2.2
	errTargetLong   = &Refusal{414, "URI_TOO_LONG", "Request target is too long"}                           // 3
	errHeadLong     = &Refusal{431, "HEADERS_TOO_LARGE", "Request headers are too large"}                   // RFC 6585, 5
	errSlowHead     = &Refusal{408, "REQUEST_TIMEOUT", "Request headers took too long"}                     // RFC 9110, 15.5.9
	errExpectation  = &Refusal{417, "EXPECTATION_FAILED", "Expect holds something other than 100-continue"} // RFC 9110, 10.1.1
)

// What reading a chunked body can find wrong. The handler gets it from Read.
var (
	errChunkSize  = malformed("a chunk's size")
	errChunkLine  = malformed("a chunk's line is too long")
	errChunkEnd   = malformed("a chunk is longer than its size")
	errTrailer    = malformed("trailer")
	errTrailerLen = malformed("trailers are too long")
)
