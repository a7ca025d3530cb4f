#ps1_sysnative
# imagebuild script: Enable-BuildAccess
# Opens the builder to the controller: WinRM over HTTPS on 5986, NTLM only, with a certificate of its own whose SHA-256 goes to COM1, so that
# the controller can pin it from the cloud's console log. Cloudbase-Init runs it on the builder as user data (first line: a 64-bit PowerShell);
# alone, therefore without prelude and parameters. PowerShell 2.0; ASCII only; no secrets. Run again it changes nothing and prints the same.
# What it leaves (certificate CN=imagebuild-winrm, HTTPS listener, firewall rule imagebuild-winrm, LocalAccountTokenFilterPolicy)
# Start-Generalize takes away again (traces.ps1); WinRM stays an automatic service without a listener of ours, its quotas stay raised.

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
Set-StrictMode -Version 2.0

$Name = 'imagebuild-winrm'
$Subject = "CN=$Name"              # not the computer's name: Cloudbase-Init changes that one between two runs
$Port = 5986

# --- edges: static .NET calls -----------------------------------------------------------------------------------------------------

function Write-Line([string]$Text) {
    [Console]::Out.WriteLine($Text)
}

function Test-ListeningPort([int]$Number) {
    @([Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners() | Where-Object { $_.Port -eq $Number }).Count -gt 0
}

function Get-NetworkList {
    [Activator]::CreateInstance([Type]::GetTypeFromCLSID([Guid]'{DCB00C01-570F-4A9B-8D69-199FDBA5723B}'))
}

# --- console ----------------------------------------------------------------------------------------------------------------------

function Write-Console([string[]]$Lines) {
    # Also to standard output: Cloudbase-Init keeps COM1 open for itself where it logs there, and then copies our output to it (at DEBUG).
    foreach ($line in $Lines) { Write-Line $line }
    $echo = '(' + (@($Lines | ForEach-Object { "echo $_" }) -join '&') + ')>\\.\COM1'
    $ErrorActionPreference = 'Continue'                 # cmd.exe's words on standard error are no failure of ours
    & cmd.exe /d /c $echo 2>&1 | Out-Null
    if ($LASTEXITCODE -eq 0) { return }
    # Taken: a process that outlives this script says it when the port is free, within about twenty minutes.
    $loop = '/d /c for /l %i in (1,1,600) do @({0} && exit || ping.exe -n 3 127.0.0.1 >nul)' -f $echo
    Start-Process -FilePath "$env:SystemRoot\System32\cmd.exe" -ArgumentList $loop -WindowStyle Hidden
}

function ConvertTo-ConsoleText([string]$Text) {
    # One line that echo takes as it is: exception texts may be Korean, of several lines and full of cmd.exe's own characters.
    $clean = $Text -replace '[^A-Za-z0-9 .,:;_=+\\/-]+', ' '
    $clean.Substring(0, [Math]::Min(200, $clean.Length)).Trim()
}

# --- steps ------------------------------------------------------------------------------------------------------------------------

function Enable-Tls12 {
    # Windows 7 can TLS 1.2 and offers 1.0 only, which OpenSSL 3 refuses. SChannel reads these values once, when LSASS starts: a change needs a
    # restart. Later Windows offers it by itself. Says whether something was changed.
    if ([version](Get-WmiObject -Class Win32_OperatingSystem).Version -ge [version]'6.2') { return $false }
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\TLS 1.2\Server'
    if (-not (Test-Path -LiteralPath $path)) { New-Item -Path $path -Force | Out-Null }
    $changed = $false
    foreach ($pair in @(@('Enabled', 1), @('DisabledByDefault', 0))) {
        if ((Get-Item -LiteralPath $path).GetValue($pair[0], $null) -eq $pair[1]) { continue }
        New-ItemProperty -LiteralPath $path -Name $pair[0] -Value $pair[1] -PropertyType 'DWord' -Force | Out-Null
        $changed = $true
    }
    $changed
}

function Set-PrivateNetworks {
    # WinRM refuses to be configured while a network is public. Best effort: a network is only changeable once Windows has identified it,
    # a domain's never, and where the refusal does not come nothing is lost.
    try {
        foreach ($connection in @((Get-NetworkList).GetNetworkConnections())) {
            if ($null -eq $connection) { continue }
            $network = $connection.GetNetwork()
            if ($network.GetCategory() -eq 0) { $network.SetCategory(1) }
        }
    } catch { Write-Line ('networks left as they are: ' + $_.Exception.Message) }
}

function Start-RemoteManagement {
    Set-Service -Name 'WinRM' -StartupType Automatic
    if ((Get-Service -Name 'WinRM').Status -ne 'Running') { Start-Service -Name 'WinRM' }
}

function Set-RemoteManagement([string]$Resource, $Values) {
    # Windows needs up to a minute to identify a network after start; until then the refusal of Set-PrivateNetworks may come.
    for ($try = 1; $true; $try++) {
        try { Set-WSManInstance -ResourceURI $Resource -ValueSet $Values | Out-Null; return }
        catch { if ($try -ge 12) { throw } }
        Start-Sleep -Seconds 5
        Set-PrivateNetworks
    }
}

function Find-AccessCertificate {
    $soon = (Get-Date).AddDays(30)
    $ours = @(Get-ChildItem -LiteralPath 'Cert:\LocalMachine\My' | Where-Object { $null -ne $_ -and $_.Subject -eq $Subject -and $_.HasPrivateKey -and $_.NotAfter -gt $soon })
    if ($ours.Count -gt 0) { $ours[0] }
}

function New-EnrollmentObject([string]$Class) {
    New-Object -ComObject "X509Enrollment.$Class"
}

function New-AccessCertificate {
    # Enrolment over COM is in every Windows from 7 on; New-SelfSignedCertificate only from 8 on, and a second way would be a second kind of key.
    $subjectName = New-EnrollmentObject 'CX500DistinguishedName'
    $subjectName.Encode($Subject, 0)
    $key = New-EnrollmentObject 'CX509PrivateKey'
    $key.ProviderName = 'Microsoft Enhanced RSA and AES Cryptographic Provider'      # the old RSA providers cannot sign with SHA-256
    $key.KeySpec = 1                                    # for key exchange
    $key.Length = 2048
    $key.MachineContext = 1
    $key.SecurityDescriptor = 'D:PAI(A;;0xd01f01ff;;;SY)(A;;0xd01f01ff;;;BA)(A;;0x80120089;;;NS)'     # WinRM reads it as NETWORK SERVICE
    $key.Create()
    $server = New-EnrollmentObject 'CObjectId'
    $server.InitializeFromValue('1.3.6.1.5.5.7.3.1')    # server authentication
    $purposes = New-EnrollmentObject 'CObjectIds'
    $purposes.Add($server)
    $usage = New-EnrollmentObject 'CX509ExtensionEnhancedKeyUsage'
    $usage.InitializeEncode($purposes)
    $hash = New-EnrollmentObject 'CObjectId'
    $hash.InitializeFromValue('2.16.840.1.101.3.4.2.1') # SHA-256
    $request = New-EnrollmentObject 'CX509CertificateRequestCertificate'
    $request.InitializeFromPrivateKey(2, $key, '')      # 2 = for the machine
    $request.Subject = $subjectName
    $request.Issuer = $subjectName
    $request.NotBefore = (Get-Date).AddDays(-2)         # the builder's clock may still be hours off
    $request.NotAfter = (Get-Date).AddYears(1)
    $request.X509Extensions.Add($usage)
    $request.HashAlgorithm = $hash
    $request.Encode()
    $enrollment = New-EnrollmentObject 'CX509Enrollment'
    $enrollment.InitializeFromRequest($request)
    $enrollment.InstallResponse(2, $enrollment.CreateRequest(0), 0, '')      # 2 = although nobody vouches for it
}

function Get-AccessCertificate {
    $found = Find-AccessCertificate
    if ($null -eq $found) { New-AccessCertificate | Out-Null; $found = Find-AccessCertificate }
    if ($null -eq $found) { throw "the certificate $Subject was made and is not in the machine's store" }
    $found
}

function Set-HttpsListener([string]$Thumbprint) {
    # Made directly: quickconfig would refuse on a public network and make an HTTP listener too. Another's listener on the port is replaced.
    $selector = @{ Address = '*'; Transport = 'HTTPS' }
    $existing = $null
    try { $existing = Get-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet $selector } catch { $existing = $null }     # none: an error
    if ($null -ne $existing) {
        if ([string]$existing.CertificateThumbprint -eq $Thumbprint -and [string]$existing.Port -eq [string]$Port) { return }
        Remove-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet $selector
    }
    New-WSManInstance -ResourceURI 'winrm/config/Listener' -SelectorSet $selector -ValueSet @{ Hostname = $Name; CertificateThumbprint = $Thumbprint; Port = [string]$Port } | Out-Null
}

function Set-FirewallRule {
    # All profiles: a new network card (e1000 to virtio) is a new network, and public again.
    if ((Get-Service -Name 'MpsSvc').Status -ne 'Running') { return }
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    foreach ($old in @($policy.Rules | Where-Object { $null -ne $_ -and $_.Name -eq $Name })) { $policy.Rules.Remove($Name) | Out-Null }
    $rule = New-Object -ComObject HNetCfg.FWRule
    $rule.Name = $Name
    $rule.Protocol = 6
    $rule.LocalPorts = [string]$Port
    $rule.Direction = 1
    $rule.Action = 1
    $rule.Profiles = 2147483647
    $rule.Enabled = $true
    $policy.Rules.Add($rule) | Out-Null
}

function Set-RemoteAdministrators {
    # Without this a local administrator other than the built-in one gets a filtered token over the network.
    $path = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System'
    if (-not (Test-Path -LiteralPath $path)) { New-Item -Path $path -Force | Out-Null }
    New-ItemProperty -LiteralPath $path -Name 'LocalAccountTokenFilterPolicy' -Value 1 -PropertyType 'DWord' -Force | Out-Null
}

function Disable-CloudbaseListener {
    # A base image's Cloudbase-Init runs its own WinRM plugins after user data: another certificate on our port, and Basic. They skip what they
    # find done (1) under their instance in the registry.
    $root = 'HKLM:\SOFTWARE\Cloudbase Solutions\Cloudbase-Init'
    if (-not (Test-Path -LiteralPath $root)) { return }
    foreach ($instance in @((Get-Item -LiteralPath $root).GetSubKeyNames())) {
        $path = "$root\$instance\Plugins"
        if (-not (Test-Path -LiteralPath $path)) { continue }
        foreach ($plugin in 'ConfigWinRMListenerPlugin', 'ConfigWinRMCertificateAuthPlugin') { New-ItemProperty -LiteralPath $path -Name $plugin -Value 1 -PropertyType 'DWord' -Force | Out-Null }
    }
}

function Wait-Listener {
    for ($try = 1; $try -le 30; $try++) { if (Test-ListeningPort $Port) { return }; Start-Sleep -Seconds 1 }
    throw "WinRM does not listen on port $Port after 30 seconds"
}

function Enable-BuildAccess {
    Set-PrivateNetworks
    Start-RemoteManagement
    Set-RemoteManagement 'winrm/config' @{ MaxTimeoutms = '1800000' }
    Set-RemoteManagement 'winrm/config/winrs' @{ MaxMemoryPerShellMB = '2048'; MaxShellsPerUser = '30'; MaxProcessesPerShell = '100'; IdleTimeout = '7200000' }
    Set-RemoteManagement 'winrm/config/service' @{ AllowUnencrypted = 'false' }
    Set-RemoteManagement 'winrm/config/service/auth' @{ Basic = 'false'; Negotiate = 'true'; Certificate = 'false'; CredSSP = 'false' }
    $certificate = Get-AccessCertificate
    Set-HttpsListener $certificate.Thumbprint
    Set-FirewallRule
    Set-RemoteAdministrators
    Disable-CloudbaseListener
    Wait-Listener
    $sum = (New-Object Security.Cryptography.SHA256Managed).ComputeHash($certificate.RawData)
    ([BitConverter]::ToString($sum) -replace '-', '').ToLower()
}

try {
    if (Enable-Tls12) {
        Write-Console @('imagebuild: winrm waits for a restart, TLS 1.2 was switched on')
        exit 1003                                       # Cloudbase-Init restarts and runs this again
    }
    $sha256 = Enable-BuildAccess
    Write-Console @("imagebuild: winrm certificate sha256=$sha256", 'imagebuild: winrm ready')
} catch {
    Write-Console @('imagebuild: winrm failed: ' + (ConvertTo-ConsoleText ([string]$_.Exception.Message)))
    exit 1
}
exit 0
