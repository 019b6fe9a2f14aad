// goka: `run` describes its work and output. SERVERS IN OUT COUNT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
)

type trade struct {
	Symbol string  `json:"symbol"`
	Price  float64 `json:"price"`
	Volume int64   `json:"volume"`
	Time   int64   `json:"time"`
	Venue  string  `json:"venue"`
}

type codec struct{}

func (codec) Encode(value interface{}) ([]byte, error) { return json.Marshal(value) }
func (codec) Decode(text []byte) (interface{}, error) {
	value := new(trade)
	return value, json.Unmarshal(text, value)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "goka:", err)
		os.Exit(1)
	}
}

// Reports every acknowledged record.
type counted struct {
	goka.Producer
	acknowledged func()
}

func (c counted) watch(promise *goka.Promise) *goka.Promise {
	return promise.Then(func(err error) {
		check(err)
		c.acknowledged()
	})
}
func (c counted) Emit(topic, key string, value []byte) *goka.Promise {
	return c.watch(c.Producer.Emit(topic, key, value))
}
func (c counted) EmitWithHeaders(topic, key string, value []byte, headers goka.Headers) *goka.Promise {
	return c.watch(c.Producer.EmitWithHeaders(topic, key, value, headers))
}

func peakMegabytes() float64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	check(err)
	return kilobytes / 1024
}

func main() {
	servers, in, out := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3]
	count, err := strconv.ParseInt(os.Args[4], 10, 64)
	check(err)

	config := goka.DefaultConfig()
	config.Version = sarama.V4_0_0_0
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Fetch.Min = 100_000
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.ChannelBufferSize = 10_000
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Compression = sarama.CompressionNone
	config.Producer.Flush.Frequency = 5 * time.Millisecond
	config.Producer.Flush.Bytes = 262_144
	goka.ReplaceGlobalConfig(config)

	var started time.Time
	var once atomic.Bool
	var acknowledged atomic.Int64
	done := make(chan time.Time, 1)
	build := func(brokers []string, client string, hasher func() hash.Hash32) (goka.Producer, error) {
		producer, err := goka.DefaultProducerBuilder(brokers, client, hasher)
		return counted{producer, func() {
			if acknowledged.Add(1) == count {
				done <- time.Now()
			}
		}}, err
	}
	work := func(ctx goka.Context, message interface{}) {
		if !once.Load() && once.CompareAndSwap(false, true) {
			started = time.Now()
		}
		value := message.(*trade)
		value.Price *= 1.01
		ctx.Emit(goka.Stream(out), ctx.Key(), value)
	}
	input, output := goka.Input(goka.Stream(in), codec{}, work), goka.Output(goka.Stream(out), codec{})
	graph := goka.DefineGroup(goka.Group("goka-"+out), input, output)
	processor, err := goka.NewProcessor(servers, graph, goka.WithProducerBuilder(build))
	check(err)
	go func() { check(processor.Run(context.Background())) }()
	ended := <-done
	fmt.Printf("%.0f %.1f\n", float64(count)/ended.Sub(started).Seconds(), peakMegabytes())
}
