package api_test

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

func BenchmarkHTTPAdmitSettle(b *testing.B) {
	apitest.BenchmarkAdmitSettle(b, apitest.NewForgetful(1<<50))
}
