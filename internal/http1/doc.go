// Package http1 is a server for HTTP/1.1 and HTTP/1.0 (RFC 9112) in front of
// an ordinary [http.Handler], written for a gateway's hot path: one goroutine
// a connection, no second one for a request that is answered soon, one system
// call to read a request and one to answer it.
//
// It is faster than net/http's because it reuses what a request is made of.
// That is the contract of a handler here: once it has returned, nothing may
// use its ResponseWriter, its Request, the Request's Header, Body, URL and
// Context, or a map or slice of them. Strings may be kept.
//
// Other differences a handler can notice:
//   - Reading the body and writing the answer at the same time always works;
//     EnableFullDuplex is accepted and changes nothing.
//   - The context begins to look for a client that leaves when somebody calls
//     its Done (as context.AfterFunc and every derived context do), or its Err
//     after a while. Its cause is [ErrClientGone] then.
//   - No Content-Type is guessed. Trailers are read, checked and dropped; an
//     answer has none.
//
// It is strict: what two servers could understand differently is refused (see
// [Refusal]) and the connection closed.
package http1
