package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"

	"mintmark/cmd/mintbench/load"
	"mintmark/cmd/mintbench/wire"
)

// exchange is a connection to the upstream, and the memory for one call on it.
type exchange struct {
	conn      io.Writer
	r         *bufio.Reader
	head      wire.Head
	body, out []byte
}

func newExchange() *exchange { return &exchange{r: bufio.NewReaderSize(nil, 32<<10)} }

func (x *exchange) reset(conn net.Conn) {
	x.conn = conn
	x.r.Reset(conn)
}

// read reads the next call. It returns io.EOF only when the other side ended
// the connection between two calls.
func (x *exchange) read() (err error) {
	if err := wire.ReadHead(x.r, &x.head); err != nil {
		return err
	}
	x.body, err = wire.ReadBody(x.r, &x.head, x.body[:0])
	return err
}

// write sends what is made of the answer so far.
func (x *exchange) write() error {
	_, err := x.conn.Write(x.out)
	x.out = x.out[:0]
	return err
}

const (
	beforeID = `{"jsonrpc":"2.0","id":`
	afterID  = `,"result":{"resultType":"complete","content":[{"type":"text","text":"` + load.Marker + `"}],"isError":false}}`
	progress = `{"jsonrpc":"2.0","method":"` + load.Progress + `","params":{"progressToken":1,"progress":1}}`
)

// result appends the message of a good answer.
func result(out, id []byte) []byte {
	return append(append(append(out, beforeID...), id...), afterID...)
}

// json answers with one message.
func (x *exchange) json(id []byte) {
	x.start("200 OK\r\nContent-Type: application/json")
	x.length(len(beforeID) + len(id) + len(afterID))
	x.out = result(x.out, id)
}

// refuse answers with another status than 200.
func (x *exchange) refuse(status, text string) {
	x.start(status)
	x.length(len(text))
	x.out = append(x.out, text...)
}

// begin begins a stream. For a client of HTTP/1.0 it ends with the connection.
func (x *exchange) begin() {
	x.start("200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nX-Accel-Buffering: no")
	if !x.head.Old {
		x.out = append(x.out, "Transfer-Encoding: chunked\r\n"...)
	}
	x.out = append(x.out, "\r\n"...)
}

// event adds one event to a stream, as one chunk.
func (x *exchange) event(message []byte) {
	if x.head.Old {
		x.out = fmt.Appendf(x.out, "data: %s\n\n", message)
		return
	}
	x.out = fmt.Appendf(x.out, "%x\r\ndata: %s\n\n\r\n", len("data: \n\n")+len(message), message)
}

// end ends a stream.
func (x *exchange) end() {
	if !x.head.Old {
		x.out = append(x.out, "0\r\n\r\n"...)
	}
}

// start begins an answer, and says in it if no other follows.
func (x *exchange) start(status string) {
	x.out = append(append(append(x.out, "HTTP/1.1 "...), status...), "\r\n"...)
	if x.head.Close {
		x.out = append(x.out, "Connection: close\r\n"...)
	}
}

// length ends a head by how long the body is.
func (x *exchange) length(n int) {
	x.out = append(x.out, "Content-Length: "...)
	x.out = append(strconv.AppendInt(x.out, int64(n), 10), "\r\n\r\n"...)
}
