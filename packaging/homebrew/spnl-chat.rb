class SpnlChat < Formula
  include Language::Python::Virtualenv

  desc "Chat with language models that run on this machine, in the terminal"
  homepage "https://pypi.org/project/spnl-chat/"
  url "https://files.pythonhosted.org/packages/source/s/spnl-chat/spnl_chat-VERSION.tar.gz"
  sha256 "SHA256"
  license "Apache-2.0"

  depends_on "python@3.13"

  def install
    # mistralrs is a large binary wheel: pip resolves it and the rest, instead of one resource block each.
    virtualenv_create(libexec, "python3.13")
    system libexec/"bin/python", "-m", "ensurepip"
    system libexec/"bin/python", "-m", "pip", "install", buildpath
    bin.install_symlink libexec/"bin/spnl-chat"
    generate_completions_from_executable(bin/"spnl-chat", "completions", shells: [:bash, :zsh, :fish])
    (man1/"spnl-chat.1").write Utils.safe_popen_read(bin/"spnl-chat", "man")
  end

  test do
    assert_match "spnl-chat", shell_output("#{bin}/spnl-chat --version")
  end
end
