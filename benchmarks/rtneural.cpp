/* A net of RTNeural's whose form is known when this is compiled, for one row; RTNeural's sources give the headers.

   Compiled with -DREAL=float -DINPUTS=4 -DOUTPUTS=2 -DLAYERS="DENSE(4,64), TANH(64), DENSE(64,2)" and
   -DEACH="L(0,4,64) L(1,64,2)" (layer, inputs, outputs). */
#include <RTNeural/RTNeural.h>
#include <algorithm>
#include <vector>

#define DENSE(I, O) RTNeural::DenseT<REAL, I, O>
#define TANH(N) RTNeural::TanhActivationT<REAL, N>
#define RELU(N) RTNeural::ReLuActivationT<REAL, N>

static RTNeural::ModelT<REAL, INPUTS, OUTPUTS, LAYERS> model;
alignas(64) static REAL row[(INPUTS + 15) / 16 * 16];

template <typename Layer> static void fill(Layer &layer, int I, int O, const REAL *W, const REAL *b)
{
    std::vector<std::vector<REAL>> turned(O, std::vector<REAL>(I));
    std::vector<REAL> bias(b, b + O);
    for (int o = 0; o < O; o++)
        for (int i = 0; i < I; i++)
            turned[o][i] = W[i * O + o];
    layer.setWeights(turned);
    layer.setBias(bias.data());
}

extern "C" void weights(int number, const REAL *W, const REAL *b)
{
#define L(l, I, O)                                                                                                     \
    if (number == l)                                                                                                   \
        fill(model.get<2 * l>(), I, O, W, b);
    EACH
#undef L
    model.reset();
}

extern "C" void predict(const REAL *x, REAL *y)
{
    std::copy(x, x + INPUTS, row);
    model.forward(row);
    std::copy(model.getOutputs(), model.getOutputs() + OUTPUTS, y);
}
