"""How the backward pass gets its activations: one file a strategy, one table of their names."""

from gradbench.faulty import METHODS
from gradbench.registry import Entry, Numbers, Registry

STRATEGIES = Registry(
    "strategy",
    "gradbench.strategies",
    {
        "stored": Entry("gradbench.strategies.stored:Stored", "ordinary autograd: every activation is kept"),
        "reconstruct": Entry(
            "gradbench.strategies.reconstruct:Reconstruct",
            "invertible layers rebuild their inputs from their outputs in the backward pass",
            "Hascoet et al., Reversible designs for extreme memory cost reduction of CNN training",
        ),
        "noisy-reconstruct": Entry(
            "gradbench.strategies.noisy_reconstruct:NoisyReconstruct",
            "the same from outputs with white Gaussian noise of standard deviation K",
            "Hascoet et al., Reversible designs for extreme memory cost reduction of CNN training, Figures 5 and 6",
            argument="deviation",
            numbers=Numbers(0, whole=False),
        ),
        "checkpoint": Entry(
            "gradbench.strategies.checkpoint:Checkpoint",
            "each segment of K blocks (one, unless it says more) keeps its input and runs again in the backward pass",
            "Chen et al., Training deep nets with sublinear memory cost",
            argument="length",
            allowed=("sqrt",),
            numbers=Numbers(1),
            optional=True,
        ),
        "selective-checkpoint": Entry(
            "gradbench.strategies.selective_checkpoint:SelectiveCheckpoint",
            "checkpointing that keeps the outputs of convolutions and matrix products, of all or of every second",
            "torch.utils.checkpoint; Chen et al., Training deep nets with sublinear memory cost",
            argument="policy",
            allowed=("every-second",),
            optional=True,
        ),
        "accumulate": Entry(
            "gradbench.strategies.accumulate:Accumulate",
            "the minibatch in K parts, a forward and a backward pass for each, gradients added: batch norm sees parts",
            argument="parts",
            numbers=Numbers(2),
        ),
        "inplace-abn": Entry(
            "gradbench.strategies.inplace_abn:InplaceABN",
            "norm and activation keep the activation's output and are undone from it",
            "Rota Bulo et al., In-place activated BatchNorm for memory-optimized training of DNNs",
        ),
        "approximate": Entry(
            "gradbench.strategies.approximate:Approximate",
            "exact forward pass, K-bit activations kept for the backward pass, the ReLU mask exact",
            "Chakrabarti and Moseley, Backprop with approximate activations",
            argument="bits",
            allowed=(2, 3, 4, 6, 8),
        ),
        "naive-quantize": Entry(
            "gradbench.strategies.naive_quantize:NaiveQuantize",
            "the same K-bit activations in the forward and the backward pass, straight-through",
            "the baseline of Chakrabarti and Moseley",
            argument="bits",
            allowed=(2, 3, 4, 6, 8),
        ),
        "saved-cast": Entry(
            "gradbench.strategies.saved_cast:SavedCast",
            "exact forward pass, every saved activation in a narrower floating-point format",
            "the formats of Micikevicius et al., Mixed precision training, and FP8 formats for deep learning",
            argument="format",
            allowed=("bf16", "fp16", "fp8"),
        ),
        "stochastic": Entry(
            "gradbench.strategies.stochastic:Stochastic",
            "exact forward pass, saved activations rounded at random to K bits without bias, the ReLU mask exact",
            "Chen et al., ActNN: reducing training memory footprint via 2-bit activation compressed training",
            argument="bits",
            allowed=(2, 3, 4, 6, 8),
        ),
        "offload": Entry(
            "gradbench.strategies.offload:Offload",
            "saved tensors are copied to the host's memory and back",
            "Rhu et al., vDNN: virtualized deep neural networks for scalable, memory-efficient neural network design",
        ),
        "compile": Entry(
            "gradbench.strategies.compile:Compile",
            "torch.compile, which computes again what a budget of activation memory does not hold",
            "torch._functorch.config.activation_memory_budget",
            argument="budget",
            numbers=Numbers(0, 1, whole=False),
        ),
        "decoupled": Entry(
            "gradbench.strategies.decoupled:Decoupled",
            "blocks learn from gradients that small networks predict, without labels, and learn to predict on the way",
            "Jaderberg et al., Decoupled neural interfaces using synthetic gradients",
        ),
        "memcnn": Entry(
            "gradbench.strategies.adapters.memcnn:MemCNN",
            "memcnn's couplings around the branches of reversible blocks",
            "van de Leemput et al., MemCNN: a Python/PyTorch package for creating memory-efficient invertible networks",
            distribution="memcnn",
        ),
        "revtorch": Entry(
            "gradbench.strategies.adapters.revtorch:RevTorch",
            "RevTorch's sequences of the branches of reversible blocks",
            "https://github.com/RobinBruegger/RevTorch",
            distribution="revtorch",
        ),
        "revlib": Entry(
            "gradbench.strategies.adapters.revlib:RevLib",
            "RevLib's sequences of the branches of reversible blocks",
            "https://github.com/HomebrewML/revlib",
            distribution="revlib",
        ),
        "group-add-rev": Entry(
            "gradbench.strategies.adapters.group_add_rev:GroupAddRev",
            "PyTorch Geometric's GroupAddRev around the branches of reversible blocks",
            "Li et al., Training graph neural networks with 1000 layers",
            distribution="torch-geometric",
        ),
        "momentumnet": Entry(
            "gradbench.strategies.adapters.momentumnet:Momentum",
            "momentumnet's own networks without stored activations",
            "Sander et al., Momentum residual neural networks",
            distribution="momentumnet",
        ),
        "fairscale-checkpoint": Entry(
            "gradbench.strategies.adapters.fairscale_checkpoint:FairScaleCheckpoint",
            "FairScale's checkpoint_wrapper around each block",
            "https://github.com/facebookresearch/fairscale",
            distribution="fairscale",
        ),
        "torch-remat": Entry(
            "gradbench.strategies.adapters.torch_remat:TorchRemat",
            "torch_remat's checkpoint around each block",
            "https://pypi.org/project/torch-remat",
            distribution="torch-remat",
        ),
        "ckptplan": Entry(
            "gradbench.strategies.adapters.ckptplan:CkptPlan",
            "checkpointing of the parts that ckptplan's plan chooses from its measurements, to save half of the memory",
            "https://pypi.org/project/ckptplan",
            distribution="ckptplan",
        ),
    },
    unlisted=METHODS,
)
