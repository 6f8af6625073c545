// Package upstream is the gateway's client to one worker: HTTP/1.1 over the
// worker's unix socket (RFC 9112), written for the hot path.
//
// A [Client] keeps a stack of idle connections and no goroutine for any of
// them. [Client.Forward] answers one request of the outside with one of the
// worker: the calling goroutine sends the head, reads the answer and writes it
// to the client; a second goroutine exists only while a request body is being
// sent, so that a worker may answer before it has read the upload.
package upstream
